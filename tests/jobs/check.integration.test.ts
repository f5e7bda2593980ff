import { setTimeout as sleep } from 'node:timers/promises';
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { reportExitCode, type CheckReport } from '../../src/core/check-report.ts';
import { check } from '../../src/jobs/check.ts';
import { configure } from '../../src/jobs/configure.ts';
import { findHoles } from '../../src/jobs/find-holes.ts';
import { readBackupList } from '../../src/jobs/list-backups.ts';
import { writeRestoreState, type RestoreState } from '../../src/jobs/restore/restore-state.ts';
import { assess } from '../../src/core/health.ts';
import { readHealthFacts } from '../../src/jobs/status.ts';
import { makePrivateFolder } from '../../src/system/home.ts';
import { takeBackup } from '../../src/jobs/backup.ts';
import { readNeededBackups } from '../../src/system/needed-backups.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { jobContext } from '../setup/job-context.ts';
import { becomeOwner } from '../setup/machine.ts';

let archived: ArchivedCluster;

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster({ settings: { archive_timeout: '60' } });
});

afterAll(async () => {
  await archived.machine.destroy();
});

const context = async (options: Readonly<Record<string, unknown>> = {}) =>
  await jobContext(archived.machine, archived.server, options);
const walk = async (options: Readonly<Record<string, unknown>> = {}) =>
  await check(await context(options), { signal: new AbortController().signal, stallMs: 3_000 });
const health = async () => assess(await readHealthFacts(await context()));
const faults = ({ checks }: CheckReport) => checks.filter(({ ok }) => !ok);

test('a chain that holds is proven to its end and leaves nothing behind', async () => {
  const report = await walk();
  expect(faults(report)).toEqual([]);
  expect(report.notTried).toEqual([]);
  expect(reportExitCode(report)).toBe(0);
  const what = Object.fromEntries(report.checks.map(({ name, what }) => [name, what]));
  expect(what['write-once']).toContain(`uid ${process.getuid?.() ?? ''}`);
  expect(what['archiving']).toMatch(/archive_command='.*archive-wal' .* \(\/.*test\.conf:\d+\)/);
  expect(what['wal']).toMatch(/its segment [0-9A-F]{24} arrived after \d+\.\d s and was read back \(1\.0 MiB\)/);
  expect(what['contiguity']).toMatch(/^WAL segments since the newest backup: \d+ found.*; all is stored up to /);
  const incarnation = join(archived.machine.destination, 'clusters', archived.place.systemIdentifier, '1');
  expect(await readdir(incarnation)).not.toContain('probes');
});

test('a destination that is gone is told, and what is behind it is not tried', async () => {
  const { destination } = archived.machine;
  await rename(destination, `${destination}.away`);
  const report = await walk();
  const found = await health();
  await rename(`${destination}.away`, destination);
  expect(faults(report)).toMatchObject([
    {
      name: 'destination',
      kind: 'unavailable',
      what: `the destination file://${destination} is not there`,
      hint: expect.stringContaining('install -d -m 2770'),
    },
  ]);
  expect(report.notTried).toContain('wal');
  expect(reportExitCode(report)).toBe(5);
  expect(found).toMatchObject({
    level: 'alarm',
    text: expect.stringContaining('is not there; WAL waits on this machine'),
  });
});

test('archiving that is set to somebody else is told with its value', async () => {
  await archived.server.sql("alter system set archive_command = 'cp %p /nowhere/%f'");
  await archived.server.sql('select pg_reload_conf()');
  const report = await walk();
  const found = await health();
  await archived.server.sql('alter system reset archive_command');
  await archived.server.sql('select pg_reload_conf()');
  expect(faults(report)).toMatchObject([
    { name: 'archiving', kind: 'refused', what: expect.stringContaining('cp %p /nowhere/%f') },
  ]);
  expect(report.notTried).toEqual(['wal', 'contiguity']);
  expect(found).toMatchObject({
    level: 'blocked',
    text: expect.stringContaining('somebody else archives this cluster (cp %p /nowhere/%f)'),
  });
});

test('a command that is ours and does not work is found by the segment that never arrives', async () => {
  await archived.server.sql(
    `alter system set archive_command = '''/nowhere/bin/archive-wal'' ''${archived.unit.path}'' ''%p'' ''%f'''`,
  );
  await archived.server.sql('select pg_reload_conf()');
  const report = await walk();
  await archived.server.sql('alter system reset archive_command');
  await archived.server.sql('select pg_reload_conf()');
  expect(faults(report)).toMatchObject([
    { name: 'wal', kind: 'unavailable', what: expect.stringContaining('is not stored and nothing moved') },
  ]);
});

test('a cluster that is down is told with the line that starts it', async () => {
  await archived.server.stop();
  const report = await walk();
  const found = await health();
  await archived.server.start();
  expect(faults(report)).toMatchObject([{ name: 'cluster', kind: 'postgres', hint: 'pg_ctlcluster 15 main start' }]);
  expect(found).toMatchObject({ level: 'alarm', text: '15/main: the cluster does not run' });
});

test('without a backup the status says so; with one it says from when to when, and the list shows it', async () => {
  expect(await health()).toMatchObject({
    level: 'alarm',
    text: '15/main: there is no complete base backup: nothing can be restored',
  });
  const backup = await takeBackup(backupContext(archived), { trigger: 'person' });
  const found = await health();
  expect(found).toMatchObject({
    level: 'ok',
    text: expect.stringContaining(`can restore to ${backup.stoppedAt.toISOString()}; later seconds follow`),
  });
  const list = await readBackupList(archived.unit, archived.repository);
  expect(list.clusters).toMatchObject([
    {
      systemIdentifier: archived.place.systemIdentifier,
      incarnations: [
        { isOwn: true, backups: [{ id: backup.id, fault: null }], windows: [{ timeline: 1, backups: [backup.id] }] },
      ],
    },
  ]);
});

test('a segment that PostgreSQL believes archived and nobody stored is a hole, recorded once, until a backup answers it', async () => {
  const segment = async () => await archived.server.sql('select pg_walfile_name(pg_current_wal_insert_lsn())');
  const turn = async () => {
    await archived.server.sql('select txid_current(); select pg_switch_wal()');
  };
  await turn();
  expect(await findHoles(await context(), archived.repository)).toEqual([]);
  await archived.server.sql("alter system set archive_command = '/bin/true'");
  await archived.server.sql('select pg_reload_conf()');
  await sleep(1000); // The archiver hears of it in its own time.
  await archived.server.sql('select txid_current()');
  const lost = await segment();
  await turn();
  await expect
    .poll(async () => await readdir(join(archived.cluster.dataDirectory, 'pg_wal', 'archive_status')), {
      timeout: 20_000,
    })
    .toContain(`${lost}.done`);
  await archived.server.sql('alter system reset archive_command');
  await archived.server.sql('select pg_reload_conf()');
  await sleep(1000);
  await turn();

  const found = await findHoles(await context(), archived.repository);
  expect(found).toMatchObject([{ timeline: 1, why: expect.stringContaining(`WAL segment ${lost} is not stored`) }]);
  expect(await findHoles(await context(), archived.repository)).toEqual([]);
  expect(await readNeededBackups(archived.unit)).toMatchObject([{ reason: 'hole', incarnation: 1 }]);
  expect(await health()).toMatchObject({
    level: 'alarm',
    text: expect.stringContaining(`WAL segment ${lost} is not stored`),
  });

  await takeBackup(backupContext(archived), { trigger: 'hole' });
  expect(await health()).toMatchObject({ level: 'ok' });
  expect(await findHoles(await context(), archived.repository)).toEqual([]);
});

test('while a restore is under way nothing is configured, and the status says only that', async () => {
  const state: RestoreState = {
    format: 1,
    planId: 'abc',
    startedAt: new Date(),
    stage: 'recover',
    found: { startConf: null, running: true, owner: null, archivingFile: null, autoConfiguration: '' },
    notes: [],
    oldKept: true,
    reached: null,
    endedAt: null,
  };
  await makePrivateFolder(archived.unit.restore);
  await writeRestoreState(archived.unit, state);
  await expect(configure(await context(), archived.repository)).rejects.toMatchObject({
    kind: 'busy',
    message: 'a restore of 15/main is under way (plan abc, recover)',
    hint: expect.stringContaining('restore --confirm=abc goes on'),
  });
  expect(await health()).toMatchObject({
    level: 'attention',
    text: '15/main: a restore is under way: plan abc, recover',
    details: [],
  });
  await writeRestoreState(archived.unit, { ...state, stage: 'abandoned' });
  expect(await health()).toMatchObject({ level: 'ok' });
});
