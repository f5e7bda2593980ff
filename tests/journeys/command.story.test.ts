import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { planSchema, restoredSchema, runCommand, runForJson, writeSettings } from '../setup/command.ts';
import { createLandscapeDatabases, everyRow } from '../setup/landscape-databases.ts';
import { makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

let machine: Machine;
let production: TestCluster;
let spare: TestCluster;
let spareHome = '';

beforeAll(async () => {
  machine = await makeMachine();
  production = await machine.createCluster('production');
  spare = await machine.createCluster('spare');
  await production.start();
  await spare.start();
  await createLandscapeDatabases(production);
  await settings(machine.home, { 'restart-postgresql': 'true' });
  spareHome = join(machine.root, 'spare-home');
  await mkdir(spareHome, { mode: 0o755 });
  await settings(spareHome, {});
});

afterAll(async () => {
  await machine.destroy();
});

const settings = async (home: string, more: Readonly<Record<string, string>>) =>
  await writeSettings(machine, home, more);
const command = async (args: readonly string[], home?: string) => await runCommand(machine, args, home);
const json = async <S extends z.ZodType>(schema: S, args: readonly string[], home?: string) =>
  await runForJson(machine, schema, args, home);

/** Every object of the repository but production's WAL, which goes on arriving, with the SHA-256 of its bytes. */
async function objects(): Promise<readonly string[]> {
  const names = await readdir(machine.destination, { recursive: true });
  const lines: string[] = [];
  for (const name of names.filter((each) => /\.[a-z0-9]+$/.test(each) && !/\/wal\/|\/\.[^/]*$/.test(each)).sort()) {
    const path = join(machine.destination, name);
    if (!(await stat(path)).isFile()) continue;
    lines.push(
      `/${name} ${createHash('sha256')
        .update(await readFile(path))
        .digest('hex')}`,
    );
  }
  return lines;
}

const onProduction = ['--cluster', '15/production'];
const onSpare = ['--cluster', '15/spare'];

test('several clusters on a machine: without --cluster the command asks which, and names them', async () => {
  expect(await command(['status'])).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/several clusters: 15\/production, 15\/spare\n  next: Say which with --cluster/),
  });
});

test('before init nothing is there, and each verb says what comes first', async () => {
  expect(await command(['backup', ...onProduction])).toMatchObject({
    exitCode: 6,
    stderr: expect.stringMatching(/there is no repository at .*\n  next: .*landscape-backup init/),
  });
  expect(await objects()).toEqual([]);
});

test('init, check, backup: the chain is proven, and the status says from when to when', async () => {
  expect(await command(['init', ...onProduction])).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/created the repository[\s\S]*owns incarnation 1[\s\S]*archiving is on/),
  });
  const backup = await command(['backup', '--label', 'the first', ...onProduction]);
  expect(backup, backup.stderr).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/backup \S+ of 15\/production is complete/),
  });
  const checked = await command(['check', ...onProduction]);
  expect(checked, checked.stdout).toMatchObject({ exitCode: 0 });
  expect(await command(['status', ...onProduction])).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^ok: 15\/production: can restore to/),
  });
  expect((await command(['list-backups', ...onProduction])).stdout).toContain('"the first"');
});

test('a named moment comes back in place, the cluster goes on as the owner, and the old contents can be removed', async () => {
  await json(z.object({ restorePoint: z.object({ name: z.literal('before-the-upgrade') }).loose() }), [
    'create-restore-point',
    'before-the-upgrade',
    ...onProduction,
  ]);
  const before = await everyRow(production);
  await production.sql('drop table computer cascade;', 'landscape-standalone-main');
  const target = ['restore', '--to', 'name=before-the-upgrade', '--in-place', ...onProduction];

  const { plan } = await json(planSchema, target);
  expect(plan.claims).toBe(2);
  const { restored } = await json(restoredSchema, [...target, `--confirm=${plan.id}`]);

  expect(restored).toMatchObject({ incarnation: 2, oldKept: true });
  expect(await everyRow(production)).toEqual(before);
  expect(await production.sql('show archive_mode')).toBe('on');
  const listed = await command(['remove-old', ...onProduction]);
  expect(listed.stdout).toContain(`pgsql_tmp.landscape-backup-old-${plan.id}`);
  expect(await command(['remove-old', '--confirm=0000000000000000', ...onProduction])).toMatchObject({ exitCode: 4 });
  expect(await command(['remove-old', `--confirm=${plan.id}`, ...onProduction])).toMatchObject({ exitCode: 0 });
  expect(await command(['abandon-restore', `--confirm=${plan.id}`, ...onProduction])).toMatchObject({
    exitCode: 4,
    stderr: expect.stringContaining('is not there any more'),
  });
  expect(await command(['backup', ...onProduction])).toMatchObject({ exitCode: 0 });
});

test('a cluster whose data directory is lost comes back in place, by the plan for the end of its WAL', async () => {
  await production.sql(`insert into account (name, title) values ('late', 'just before')`, 'landscape-standalone-main');
  const segment = await production.sql('select pg_walfile_name(pg_current_wal_insert_lsn())');
  await production.sql('select pg_switch_wal()');
  const stored = async () => (await readdir(machine.destination, { recursive: true })).join(' ');
  await expect.poll(stored, { timeout: 30_000 }).toContain(`${segment}.zst`);
  const before = await everyRow(production);
  await production.stop('immediate');
  await rm(production.cluster.dataDirectory, { recursive: true });

  const status = await command(['status', ...onProduction]);
  expect(status).toMatchObject({ exitCode: 12, stdout: expect.stringMatching(/15\/production/) });
  const target = ['restore', '--in-place', ...onProduction];
  const { plan } = await json(planSchema, target);
  const { restored } = await json(restoredSchema, [...target, `--confirm=${plan.id}`]);

  expect(restored.incarnation).toBe(3);
  expect(await everyRow(production)).toEqual(before);
});

test('a spare gets a copy, goes back to what it was, gets it again and takes over with a line of its own', async () => {
  await spare.sql('create table of_the_spare (id int);');
  const target = ['restore', '--to', 'backup', ...onSpare];
  const own = await objects();

  const first = (await json(planSchema, target, spareHome)).plan;
  expect((await json(restoredSchema, [...target, `--confirm=${first.id}`], spareHome)).restored.incarnation).toBeNull();
  expect(await command(['status', ...onSpare], spareHome)).toMatchObject({
    exitCode: 12,
    stdout: expect.stringMatching(/^blocked: .*restored copy/),
  });
  expect(await command(['abandon-restore', ...onSpare], spareHome)).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining(first.id),
  });
  expect(await command(['abandon-restore', `--confirm=${first.id}`, ...onSpare], spareHome)).toMatchObject({
    exitCode: 0,
  });
  expect(await spare.sql('select count(*) from of_the_spare')).toBe('0');

  const second = (await json(planSchema, target, spareHome)).plan;
  await json(restoredSchema, [...target, `--confirm=${second.id}`], spareHome);
  const copied = (await objects()).filter((key) => !key.includes('/guests/'));
  expect(copied).toEqual(own.filter((key) => !key.includes('/guests/')));

  expect(await command(['take-over', ...onSpare], spareHome)).toMatchObject({
    exitCode: 4,
    stderr: expect.stringMatching(/restart/),
  });
  await settings(spareHome, { 'restart-postgresql': 'true' });
  expect(await command(['take-over', ...onSpare], spareHome)).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining('now owns incarnation 4'),
  });
  expect(await command(['run-due', ...onSpare], spareHome)).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/backup \(.*\): done/),
  });
  expect((await command(['list-backups', ...onSpare], spareHome)).stdout).toMatch(
    /incarnation 4: this unit, continues 3/,
  );
});

test.each<[string, readonly string[], number, RegExp]>([
  ['an unknown verb', ['bakup'], 2, /unknown command 'bakup'/],
  ['an unknown option', ['backup', '--fast', ...onProduction], 2, /unknown option '--fast'/],
  [
    'a cluster that is not here',
    ['status', '--cluster', '15/nobody'],
    2,
    /there is no cluster 15\/nobody on this machine/,
  ],
  ['a time without a zone', ['restore', '--to', 'time=2026-11-24 03:00:00', ...onProduction], 2, /zone/],
  ['a target that is none', ['restore', '--to', 'yesterday', ...onProduction], 2, /"?yesterday"?/],
  ['a timeline that is no number', ['restore', '--timeline', 'latest', ...onProduction], 2, /--timeline is "latest"/],
  ['a map that is none', ['restore', '--tablespace-map', 'x', ...onProduction], 2, /--tablespace-map/],
  ['credentials of nobody', ['restore', '--credentials', 'mine', ...onProduction], 2, /--credentials/],
  [
    'a plan that nobody made',
    ['restore', '--confirm=0123456789abcdef', ...onProduction],
    4,
    /no plan 0123456789abcdef/,
  ],
  ['nothing to continue', ['restore', '--continue', ...onProduction], 4, /no restore is under way/],
  [
    'a backup that is not there',
    ['restore', '--backup', '20200101T000000Z-abcdef', '--in-place', ...onProduction],
    4,
    /20200101T000000Z-abcdef/,
  ],
  ["a restore over one's own cluster without a word", ['restore', ...onProduction], 4, /--in-place|in place/],
  ['a restore point without a name', ['create-restore-point', '', ...onProduction], 2, /restore point/],
])('%s is refused in clear words, and changes nothing', async (_what, args, exitCode, said) => {
  const before = await objects();

  const answer = await command(args);

  expect(answer).toMatchObject({ exitCode, stderr: expect.stringMatching(said) });
  expect(answer.stderr).toMatch(/^landscape-backup: /m);
  expect(await objects()).toEqual(before);
});

test('settings that break a rule are told by option, value and rule, for people and for programs', async () => {
  const file = join(machine.home, 'settings.yaml');
  const good = await readFile(file, 'utf8');
  await writeFile(file, 'retention-count: none\n');

  const text = await command(['backup', ...onProduction]);
  const forPrograms = await command(['backup', '--format', 'json', ...onProduction]);
  await writeFile(file, good);

  expect(text).toMatchObject({
    exitCode: 3,
    stderr: expect.stringMatching(/option retention-count is "none", it must be a whole number/),
  });
  expect(JSON.parse(forPrograms.stdout)).toMatchObject({ error: { kind: 'settings', exitCode: 3 } });
});

test('a destination that is not mounted is an error that creates nothing, and status says so', async () => {
  const away = `${machine.destination}-away`;
  await rename(machine.destination, away);

  const answer = await command(['backup', ...onProduction]);
  const status = await command(['status', ...onProduction]);
  await rename(away, machine.destination);

  expect(answer).toMatchObject({
    exitCode: 5,
    stderr: expect.stringMatching(/destination .* is not there\n  next: Mount it/),
  });
  expect(status).toMatchObject({
    exitCode: 12,
    stdout: expect.stringMatching(/^alarm: .*is not there; WAL waits on this machine/),
  });
});

test('leave puts the settings back as they were found', async () => {
  expect(await command(['leave', ...onProduction])).toMatchObject({ exitCode: 0 });

  await production.stop();
  await production.start();
  // Archiving was off: from leaving to the restart one line of ours let WAL go; it is taken away by the next call.
  expect(await command(['leave', ...onProduction])).toMatchObject({ exitCode: 0 });

  expect(await production.sql('show archive_mode')).toBe('off');
  expect(await production.sql("select count(*) from pg_settings where sourcefile like '%landscape-backup%'")).toBe('0');
});
