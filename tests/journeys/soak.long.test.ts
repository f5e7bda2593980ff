import { existsSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { mostAcknowledged } from '../../src/archiver/push-batch.ts';
import { walLineSchema } from '../../src/core/wal-line.ts';
import type { Backup } from '../../src/core/backup.ts';
import { takeBackup } from '../../src/jobs/backup.ts';
import { runRestore } from '../../src/jobs/restore/run-restore.ts';
import type { RestoreRequest } from '../../src/jobs/plan-context.ts';
import { listWal } from '../../src/repository/wal-store.ts';
import { settingsFile } from '../../src/system/home.ts';
import { startTcpProxy, type TcpProxy } from '../doubles/tcp-proxy.ts';
import { makeRandom } from '../juju/simulator/random.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { runForJson } from '../setup/command.ts';
import { onSftp, type Destinations } from '../setup/destinations.ts';
import { becomeOwner } from '../setup/machine.ts';
import { plannedRestore, restoreContext } from '../setup/restore-context.ts';
import { startArchiver, type TestArchiver } from '../setup/streamed-cluster.ts';
import { until } from '../setup/wait.ts';
import { patienceSeconds, SoakCluster } from './soak-cluster.ts';
import { Watch } from './soak-watch.ts';

/** SOAK_SEED repeats the order of events, SOAK_MINUTES makes it longer than its two rounds. */
const random = makeRandom(Number(process.env['SOAK_SEED'] ?? Math.floor(Math.random() * 2 ** 31)));
const minutes = Number(process.env['SOAK_MINUTES'] ?? 0);

let destinations: Destinations;
let proxy: TcpProxy;
let archived: ArchivedCluster;
let soaked: SoakCluster;
let archiver: TestArchiver | undefined;
let watch: Watch;
let happened = 0;
const backups: Backup[] = [];

beforeAll(async () => {
  becomeOwner();
  destinations = await onSftp();
  proxy = await startTcpProxy(destinations.port ?? 0);
  archived = await makeArchivedCluster({ destination: await destinations.add(proxy.port) });
  await appendFile(settingsFile(archived.machine.home), 'retention-count: 2\nretention-days: 0\n');
  soaked = new SoakCluster(archived);
  await soaked.fill();
  watch = new Watch(archived.unit, () => archiver?.pid);
});

afterAll(async () => {
  watch.stop();
  await soaked.stopLoad();
  await archiver?.kill('SIGTERM');
  await archived.repository.storage.close();
  await archived.machine.destroy();
  await proxy.stop();
  await destinations.stop();
});

/** What happens under load, once in each round, in an order that the seed says. */
const events: Readonly<Record<string, () => Promise<void>>> = {
  'restart, fast': async () => await soaked.restart('fast'),
  'restart, immediate': async () => await soaked.restart('immediate'),
  'restart after kill -9': async () => await soaked.restart('kill'),
  'timeline switch': async () => await soaked.switchTimeline('fast'),
  'timeline switch after a crash': async () => await soaked.switchTimeline('immediate'),
  'destination refuses': async () => await outage('refuse', async () => await soaked.restart('immediate')),
  'destination is silent': async () => await outage('stall', async () => await soaked.switchTimeline('immediate')),
  'destination cuts': async () => {
    for (let left = 4; left > 0; left -= 1) {
      proxy.cut();
      await pause(500);
    }
  },
  'backup and prune': backUpAndPrune,
};

/** The destination is away for a while, and the server does not stand still meanwhile. */
async function outage(fault: 'refuse' | 'stall', meanwhile: () => Promise<void>): Promise<void> {
  proxy.fault = fault;
  if (fault === 'refuse') proxy.cut();
  await pause(2000);
  await meanwhile();
  await pause(4000);
  proxy.fault = 'none';
  // What was swallowed never arrives.
  proxy.cut();
}

async function pause(longestMs: number): Promise<void> {
  await sleep(longestMs * (0.5 + random.next() / 2));
}

async function backUpAndPrune(): Promise<void> {
  backups.push(await takeBackup(backupContext(archived), { trigger: 'person' }));
  const { machine, cluster } = archived;
  const prune = ['prune', '--cluster', cluster.label];
  const printed = await runForJson(machine, z.object({ plan: z.looseObject({ id: z.string() }) }), prune);
  await runForJson(machine, z.looseObject({}), [...prune, '--confirm', printed.plan.id]);
}

/** One of each, the archiver killed and started anew before them; then a moment to catch up. */
async function round(): Promise<void> {
  soaked.startLoad();
  await archiver?.kill();
  await pause(3000);
  archiver = await startArchiver(archived);
  const left = Object.entries(events);
  while (left.length > 0) {
    await pause(2000);
    const [event] = left.splice(random.below(left.length), 1);
    if (event === undefined) break;
    const [name, happen] = event;
    process.stdout.write(`soak: ${name}\n`);
    await happen();
    happened += 1;
  }
  await pause(2000);
  await soaked.stopLoad();
  await soaked.untilArchived();
}

/** The rows of a spare that was restored from the older of the two backups that are kept, through all WAL that is. */
async function restoredOn(name: string, target: RestoreRequest['target']): Promise<string> {
  const spare = await archived.machine.createCluster(name);
  await spare.start();
  const patience = { callSeconds: 5, firstPauseMs: 200, longestPauseMs: 2000, totalMs: 600_000, archiveMs: 600_000 };
  const context = await restoreContext(archived.machine, spare, archived.repository, { patience }, archived.options);
  const { kept, backup } = await plannedRestore(context, { target, backup: backups.at(-2)?.id });
  await runRestore(context, kept, backup);
  const rows = await new SoakCluster({ ...archived, server: spare }).rows();
  await spare.stop('immediate');
  return rows;
}

test('hours of writes in minutes, with restarts, timeline switches and outages throughout: no hole, no leak, all bounded', async () => {
  process.stdout.write(`soak: SOAK_SEED=${random.seed}\n`);
  await takeBackup(backupContext(archived), { trigger: 'person' });
  archiver = await startArchiver(archived);
  await until('the archiver is at work', () =>
    Promise.resolve(existsSync(join(archived.unit.spool, 'archive', 'current'))),
  );
  // Its own push opens what it keeps open.
  await soaked.untilArchived();
  const idleDescriptors = watch.descriptors();
  const end = performance.now() + minutes * 60_000;
  let middle = { at: '', rows: '' };
  for (let rounds = 1; rounds <= 2 || performance.now() < end; rounds += 1) {
    middle = { at: await archived.server.sql('select clock_timestamp()'), rows: await soaked.rows() };
    await round();
    const isAsIdle = () => Promise.resolve(watch.descriptors() <= idleDescriptors + 3);
    await until('no more is open than when nothing had happened', isAsIdle, patienceSeconds);
    const isForgotten = () => Promise.resolve(watch.spoolFiles() <= 16);
    await until('what PostgreSQL was told is not kept in the spool', isForgotten, patienceSeconds);
  }

  const expected = await soaked.rows();
  const { wal } = await runForJson(archived.machine, z.object({ wal: walLineSchema }), [
    'status',
    '--cluster',
    archived.cluster.label,
  ]);
  let segments = 0;
  for await (const _name of listWal(archived.repository, archived.place)) segments += 1;
  const timeline = await soaked.timeline();
  watch.look();
  process.stdout.write(
    `soak: ${JSON.stringify({ ...watch.seen, idleDescriptors, events: happened, segments, timeline, wal })}\n`,
  );
  expect(wal).toMatchObject({ delayed: 0, lost: 0, missing: [] });
  expect(wal.found).toBeGreaterThan(0);
  expect(watch.seen.residentMiB).toBeLessThanOrEqual(200);
  expect(watch.seen.spoolFiles).toBeLessThanOrEqual(2 * mostAcknowledged + 32);
  expect(watch.seen.unitBytes).toBeLessThanOrEqual(4 * 1024 * 1024);
  expect(watch.seen.rejected).toBe(0);

  await archived.server.stop();
  expect(await restoredOn('spare', { to: 'end' })).toBe(expected);
  expect(await restoredOn('middle', { to: 'time', time: new Date(middle.at), exclusive: false })).toBe(middle.rows);
}, 3_600_000);
