import { execa } from 'execa';
import { mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backup } from '../../src/core/backup.ts';
import { formatLsn } from '../../src/core/lsn.ts';
import { recoverySettings } from '../../src/core/recovery-settings.ts';
import { historyName, parseWalName, segmentName } from '../../src/core/wal-name.ts';
import { confirmPlan } from '../../src/jobs/confirm-plan.ts';
import { keepPlan } from '../../src/jobs/kept-plans.ts';
import { checkMachine } from '../../src/jobs/measure-restore.ts';
import type { PlanContext, RestoreRequest } from '../../src/jobs/plan-context.ts';
import { planRestore } from '../../src/jobs/plan-restore.ts';
import { readControlData } from '../../src/postgres/control-data.ts';
import { missingLibraries, missingLocales } from '../../src/postgres/recovery-facts.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { isSharedFolder, walKey, type Place } from '../../src/repository/layout.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { readWal, storeWal } from '../../src/repository/wal-store.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import { machineClock } from '../../src/system/clock.ts';
import { unitFolder, writeOwnerState } from '../../src/system/home.ts';
import { becomeOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';
import {
  archiveAll,
  makeHandArchive,
  recoverForReal,
  takePlainBackup,
  type HandArchive,
} from '../setup/written-history.ts';

let machine: Machine;
let production: TestCluster;
let spare: TestCluster;
let archive: HandArchive;
let repository: Repository;
let place: Place;
let backup: Backup;
let directory: string;
let context: PlanContext;

const request: RestoreRequest = {
  target: { to: 'end' },
  inPlace: false,
  discardOld: false,
  takeOver: false,
  tablespaceMap: {},
  credentials: 'spare',
};

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  archive = await makeHandArchive(machine.root);
  production = await machine.createCluster('production', { settings: archive.settings });
  spare = await machine.createCluster('spare');
  const { systemIdentifier } = await readControlData(production.cluster.binaries, production.cluster.dataDirectory);
  place = { systemIdentifier, incarnation: 1 };
  const storage = await openDirectory(machine.destination, {
    url: `file://${machine.destination}`,
    isShared: isSharedFolder,
  });
  ({ repository } = await createRepository(storage, new Date()));
  await claim(1, null);
  await production.start();
  await production.sql('create table t (row int)');
  directory = join(machine.root, 'backup');
  backup = await takePlainBackup(production, archive, repository, place, directory);
  await production.sql('insert into t values (1)');
  await production.sql('insert into t values (2)');
  await production.sql(`select pg_create_restore_point('fork')`);
  await production.sql('insert into t values (3)');
  await archiveAll(production, archive);
  await archive.store(repository, place);
  await mkdir(join(machine.home, '15-spare'), { recursive: true, mode: 0o700 });
  context = { cluster: spare.cluster, unit: unitFolder(machine.home, '15-spare'), repository, clock: machineClock };
});

afterAll(async () => {
  await machine.destroy();
});

async function claim(
  number: number,
  parent: { incarnation: number; timeline: number; lsn: bigint } | null,
): Promise<void> {
  await claimIncarnation(repository, place.systemIdentifier, number, {
    format: 1,
    ownerId: `owner ${String(number)}`,
    model: 'machine',
    application: 'host',
    unit: '15-main',
    since: new Date(),
    parent,
  });
}

/** Plans, serves exactly what the plan says from the repository, and recovers; `archiveTo` lets the result go on archiving. */
async function restore(wishes: Partial<RestoreRequest>, archiveTo?: string) {
  const { plan } = await planRestore(context, { ...request, ...wishes });
  const root = await mkdtemp(join(machine.root, 'recovery-'));
  const served = join(root, 'served');
  await mkdir(served);
  const names = [
    ...plan.service.histories.map(({ timeline, incarnation }) => ({ name: historyName(timeline), incarnation })),
    ...plan.service.segments.flatMap(({ timeline, first, last, incarnation }) =>
      Array.from({ length: last - first + 1 }, (_, index) => ({
        name: segmentName(timeline, first + index, plan.segmentSize),
        incarnation,
      })),
    ),
  ];
  for (const { name, incarnation } of names) {
    const key = walKey({ systemIdentifier: place.systemIdentifier, incarnation }, name);
    await execa('tee', [join(served, name)], { input: await collect(key), stdout: 'ignore' });
  }
  const { files, options } = recoverySettings({
    major: plan.major,
    target: plan.target,
    stop: plan.stop,
    timeline: plan.timeline,
    restoreCommand: `cp ${served}/%f %p`,
  });
  const recovered = await recoverForReal({
    backupDirectory: directory,
    directory: join(root, 'data'),
    binaries: spare.cluster.binaries,
    port: 5401,
    files,
    settings: [
      ...options,
      ...(archiveTo === undefined
        ? []
        : ([
            ['archive_mode', 'on'],
            ['archive_command', `cp %p ${archiveTo}/%f`],
          ] as const)),
    ],
  });
  return {
    plan,
    recovered,
    rows: async () => (await recovered.ask('select row from t order by row')).split('\n').map(Number),
  };
}

async function collect(key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of readWal(repository, key)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('a successor goes its own way from its parent, both can be restored, and each keeps its own timelines', async () => {
  const folder = join(machine.root, 'archive-2');
  await mkdir(folder);
  const first = await restore({ target: { to: 'name', name: 'fork' }, takeOver: true }, folder);
  expect(first.plan.claims).toBe(2);
  expect(formatLsn(first.recovered.switchLsn)).toBe(formatLsn(first.plan.switchLsn ?? 0n));
  await first.recovered.ask('insert into t values (20)');
  const written = await first.recovered.ask('select pg_walfile_name(pg_switch_wal())');
  await first.recovered.ask('insert into t values (21)');
  const last = await first.recovered.ask('select pg_walfile_name(pg_switch_wal())');
  expect(written).not.toBe(last);
  await arrived(folder, last);
  await first.recovered.stop();
  await claim(2, { incarnation: 1, timeline: 1, lsn: first.recovered.switchLsn });
  for (const name of await readdir(folder)) {
    if (name.startsWith('00000002'))
      await storeWal(repository, { ...place, incarnation: 2 }, parseWalName(name), join(folder, name), 1);
  }

  const successor = await restore({});
  expect(successor.plan).toMatchObject({ incarnation: 2, timeline: 2, backup: { id: backup.id, incarnation: 1 } });
  expect(await successor.rows()).toEqual([1, 2, 20, 21]);
  expect(formatLsn(successor.recovered.switchLsn)).toBe(formatLsn(successor.plan.switchLsn ?? 0n));
  expect(successor.recovered.timeline).toBe(3);
  await successor.recovered.stop();

  const original = await restore({ incarnation: 1 });
  expect(original.plan).toMatchObject({ incarnation: 1, timeline: 1 });
  expect(await original.rows()).toEqual([1, 2, 3]);
  await original.recovered.stop();
});

async function arrived(folder: string, name: string): Promise<void> {
  for (let attempt = 0; attempt < 200 && !(await readdir(folder)).includes(name); attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('a promoted cluster goes on in the same incarnation: the newest timeline is followed, the older one on request', async () => {
  // The parent's own second timeline has the same number as the successor's, and other bytes.
  await production.stop();
  await execa('touch', [join(production.cluster.dataDirectory, 'standby.signal')]);
  await production.start();
  await production.sql('select pg_promote()');
  await production.sql('insert into t values (4)');
  await archiveAll(production, archive);
  await archive.store(repository, place);

  const newest = await restore({ incarnation: 1 });
  expect(newest.plan.timeline).toBe(2);
  expect(new Set(newest.plan.service.segments.map(({ incarnation }) => incarnation))).toEqual(new Set([1]));
  expect(await newest.rows()).toEqual([1, 2, 3, 4]);
  expect(formatLsn(newest.recovered.switchLsn)).toBe(formatLsn(newest.plan.switchLsn ?? 0n));
  await newest.recovered.stop();

  const older = await restore({ incarnation: 1, timeline: 1 });
  expect(await older.rows()).toEqual([1, 2, 3]);
  // The history of the newer timeline is served, so its number is not used again.
  expect(older.recovered.timeline).toBe(3);
  await older.recovered.stop();

  expect((await planRestore(context, request)).plan).toMatchObject({ incarnation: 2, timeline: 2 });
});

test('the owner needs the word for in place, and goes on as a new incarnation', async () => {
  const unit = unitFolder(machine.home, '15-production');
  await mkdir(unit.path, { recursive: true, mode: 0o700 });
  await writeOwnerState(unit, { ownerId: 'owner 1', ...place });
  const here: PlanContext = { ...context, cluster: production.cluster, unit };

  await expect(planRestore(here, request)).rejects.toMatchObject({
    kind: 'refused',
    hint: expect.stringContaining('--in-place'),
  });
  const { plan } = await planRestore(here, { ...request, inPlace: true });

  expect(plan).toMatchObject({
    inPlace: true,
    incarnation: 1,
    claims: 3,
    directories: { data: production.cluster.dataDirectory },
  });
  expect(plan.notes.join(' ')).not.toContain('prune');
});

test('a plan that would claim an incarnation does not stand when somebody else has', async () => {
  const { plan } = await planRestore(context, { ...request, takeOver: true });
  const { id } = await keepPlan(context.unit, plan, new Date());
  expect(await confirmPlan(context, id)).toMatchObject({ stands: true });

  await claim(3, { incarnation: 2, timeline: 2, lsn: plan.after });

  expect(await confirmPlan(context, id)).toMatchObject({
    stands: false,
    why: 'incarnation 3, which it would claim, has been claimed',
    request: { takeOver: true, incarnation: 2 },
  });
});

test('a library or a locale that production uses and this machine lacks is named', async () => {
  const { binaries } = spare.cluster;

  expect(
    await missingLibraries(
      { binaries },
      { shared_preload_libraries: 'pg_stat_statements, "$libdir/auto_explain", nowhere', TimeZone: 'UTC' },
    ),
  ).toEqual(['nowhere']);
  const setting = (name: string, value: string) => ({ name, setting: value, unit: null, source: 'configuration file' });
  expect(
    await missingLocales([setting('lc_time', 'C'), setting('lc_collate', 'tlh_QO.UTF-8'), setting('port', 'x')]),
  ).toEqual(['tlh_QO.UTF-8']);

  const { plan } = await planRestore(context, request);
  expect(plan.incarnation).toBe(2);
  expect(plan.notes.join(' ')).toContain('Incarnation 3 is newer and holds no backup yet');
  const measured = { room: [], missingLibraries: [], missingLocales: [], running: false };
  expect(() => {
    checkMachine(plan, { ...measured, missingLibraries: ['nowhere'] });
  }).toThrow('production loads nowhere, which this machine lacks');
  expect(() => {
    checkMachine(plan, { ...measured, missingLocales: ['tlh_QO.UTF-8'] });
  }).toThrow("production's databases need the locale tlh_QO.UTF-8, which this machine lacks");
});

test('another major version is refused, and nothing was left behind', async () => {
  await expect(planRestore({ ...context, cluster: { ...spare.cluster, major: '14' } }, request)).rejects.toMatchObject({
    kind: 'refused',
    message: 'the backup is of PostgreSQL 15, 15/spare is 14',
  });

  expect(await readdir(join(context.unit.path, 'scratch'))).toEqual([]);
  expect(await readFile(join(spare.cluster.dataDirectory, 'PG_VERSION'), 'utf8')).toBe('15\n');
});
