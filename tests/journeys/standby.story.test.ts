import { execa } from 'execa';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { runCommand, runForJson, writeSettings } from '../setup/command.ts';
import { asOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';
import { until } from '../setup/wait.ts';

let machine: Machine;
let primary: TestCluster;
let standby: TestCluster;
let standbyHome: string;

beforeAll(async () => {
  machine = await makeMachine();
  primary = await machine.createCluster('primary', { settings: { archive_mode: 'on', wal_keep_size: '64MB' } });
  standby = await machine.createCluster('standby', { settings: { archive_mode: 'on' } });
  await primary.start();
  const { dataDirectory, socketDirectory, port } = primary.cluster;
  await rm(standby.cluster.dataDirectory, { recursive: true });
  const source = ['-h', socketDirectory, '-p', String(port), '-D', standby.cluster.dataDirectory, '-X', 'stream', '-R'];
  await asOwner(join(primary.cluster.binaries, 'pg_basebackup'), [...source, '-c', 'fast']);
  expect(dataDirectory).not.toBe(standby.cluster.dataDirectory);
  await standby.start();
  standbyHome = join(machine.root, 'standby-home');
  await mkdir(standbyHome, { mode: 0o755 });
  await writeSettings(machine, machine.home, { 'backup-schedule': '"0 2 * * *"' });
  await writeSettings(machine, standbyHome, { 'backup-schedule': '"0 2 * * *"' });
});
afterAll(async () => {
  await standby.stop('immediate');
  await machine.destroy();
});

const onPrimary = async (...args: readonly string[]) => await runCommand(machine, [...args, '--cluster', '15/primary']);
const onStandby = async (...args: readonly string[]) =>
  await runCommand(machine, [...args, '--cluster', '15/standby'], standbyHome);
const ownerSchema = z.object({ ownerId: z.string(), systemIdentifier: z.string(), incarnation: z.number() });
const doneSchema = z.object({ done: z.array(z.object({ did: z.string(), failure: z.unknown() })) });

test('a standby does nothing, and when it is promoted it goes on as the same owner without a hole', async () => {
  expect(await onPrimary('init')).toMatchObject({ exitCode: 0 });
  expect(await onPrimary('backup')).toMatchObject({ exitCode: 0 });
  const text = await readFile(join(machine.home, '15-primary', 'owner.json'), 'utf8');
  const owner = ownerSchema.parse(JSON.parse(text));

  const adopt = ['adopt-owner', `--owner-id=${owner.ownerId}`, `--system-identifier=${owner.systemIdentifier}`];
  expect(await onStandby(...adopt, '--incarnation=1')).toMatchObject({ exitCode: 0 });
  expect(await onStandby('init', '--join')).toMatchObject({ exitCode: 0 });
  const ran = await runForJson(machine, doneSchema, ['run-due', '--cluster', '15/standby'], standbyHome);
  expect(ran.done).toEqual([{ did: 'reconcile', failure: null }]);
  expect((await onStandby('status')).stdout).toContain('ok: 15/standby: a standby');
  expect((await onStandby('backup')).exitCode).not.toBe(0);

  await primary.sql('create table t as select generate_series(1, 1000) i');
  const { stdout: before } = await execa('du', ['-s', machine.destination]);
  expect(before).not.toBe('');
  await primary.sql('select pg_switch_wal()');
  await until('the standby has replayed everything', async () => {
    const written = await primary.sql('select pg_current_wal_lsn()');
    return (await standby.sql(`select pg_last_wal_replay_lsn() >= '${written}'`)) === 't';
  });
  await primary.stop('fast');
  await standby.sql('select pg_promote()');
  await standby.sql('insert into t select generate_series(1001, 2000)');

  const after = await runForJson(machine, doneSchema, ['run-due', '--cluster', '15/standby'], standbyHome);
  expect(after.done.map(({ did }) => did)).toContain('reconcile');
  expect(await onStandby('check')).toMatchObject({ exitCode: 0 });
  expect(await onStandby('backup')).toMatchObject({ exitCode: 0 });
  expect((await onStandby('status')).stdout).toMatch(/^ok: 15\/standby: can restore/);
  const list = (await onStandby('list-backups')).stdout;
  expect(list).toContain('timeline 2');
}, 240_000);
