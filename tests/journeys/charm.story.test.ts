import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { everyRow } from '../setup/landscape-databases.ts';
import { until } from '../setup/wait.ts';
import { contents } from './contents.ts';
import { destination, makeCharmWorld, type CharmModel, type CharmWorld } from './charm-world.ts';

let world: CharmWorld;
let production: CharmModel;
let spare: CharmModel;
/** What production held when it was backed up. */
let rows: readonly string[] = [];

beforeAll(async () => {
  world = await makeCharmWorld();
  production = await world.addModel('production');
  spare = await world.addModel('spare');
});

afterAll(async () => {
  await world.close();
});

const home = '/var/lib/landscape-backup/landscape-backup-0';
const due = 'landscape-backup-landscape-backup-0-due';
const archiver = 'landscape-backup-landscape-backup-0-archiver.service';

test('deployed without options nothing is kept, and the status says the one next command each time', async () => {
  await production.deploy();
  expect(production.status(production.unit)).toBe(
    'blocked: the option destination is empty, nothing is kept. Next: juju config landscape-backup destination=/srv/backup (a directory that all units share), or juju integrate landscape-backup:s3-parameters s3-integrator',
  );

  production.juju.config('landscape-backup', { destination, 'restart-postgresql': true });

  await production.until(
    production.unit,
    /^blocked: not joined to a repository at file:\/\/\/srv\/backup, nothing is kept\. Next: juju run landscape-backup\/0 init creates or joins it; on a spare: juju run landscape-backup\/0 restore$/,
  );
  expect(await readdir(world.share)).toEqual([]);
});

test('init, backup and check are jobs of systemd, and the unit is active', async () => {
  const { unit } = production;
  expect(await production.run(unit, 'init')).toMatch(
    /created the repository[\s\S]*owns incarnation 1\nPostgreSQL was restarted\narchiving is on\n {2}next: juju run landscape-backup\/0 backup/,
  );
  expect(production.status(unit)).toMatch(
    /^blocked: .*no complete base backup.* Next: juju run landscape-backup\/0 backup$/,
  );
  rows = await everyRow(production.database);

  expect(await production.run(unit, 'backup', { label: 'the first' })).toMatch(/^backup \S+ of 15\/main is complete/);

  expect(production.status(unit)).toMatch(/^active: 15\/main: can restore to \S+; later seconds follow within minutes/);
  expect(await production.run(unit, 'check')).toMatch(/ok +wal: a record was written, its segment \w+ arrived/);
  const machine = await production.machineOf(unit);
  const asked = (await machine.read('/var/log/site/systemctl.log')).split('\n');
  expect(
    asked.filter((line) => /start --no-block landscape-backup-landscape-backup-0-job@backup-/.test(line)),
  ).toHaveLength(1);
  expect(await machine.run(['landscape-backup', 'list-backups'])).toContain('"the first"');
});

test('the timer works without Juju, and widens what can be restored to any second', async () => {
  const { unit, database } = production;
  const machine = await production.machineOf(unit);
  for (let round = 0; round < 2; round += 1) {
    await database.sql("update account set title = 'round'; select pg_switch_wal()", 'landscape-standalone-main');
    await machine.fireTimer(due);
  }
  production.juju.updateStatus(unit);

  await production.until(unit, /^active: 15\/main: can restore to any second from \S+ to \S+; next backup \S+$/);
  const said = await production.run(unit, 'status');
  expect(said).toContain(`${production.status(unit)}\n`);
  expect(said).toContain('\nok: 15/main: no WAL waits');
  expect(said).toMatch(/\nok: 15\/main: WAL segments since the newest backup: \d+ found/);
});

test('the resident archiver runs beside the cluster as its owner, and comes back when it is killed', async () => {
  const machine = await production.machineOf(production.unit);
  const mainProcess = async () =>
    (await machine.run(['systemctl', 'show', '-p', 'MainPID', '--value', archiver])).trim();
  const said = async () =>
    (await machine.read(`/var/log/site/${archiver}.log`)).split('\n').filter((line) => line !== '');
  await until('it archives', async () => (await said()).includes('archiving'));
  const before = await mainProcess();
  expect((await machine.run(['ps', '-o', 'user=,args=', '-p', before])).trim()).toMatch(
    /^postgres .*\/versions\/[0-9a-f]+\/bin\/.*archiver\.js /,
  );

  await machine.run(['systemctl', 'kill', '-s', 'KILL', archiver]);

  await until('it is back', async () => !['0', before].includes(await mainProcess()));
  await production.database.sql(
    "update account set title = 'again'; select pg_switch_wal()",
    'landscape-standalone-main',
  );
  await until('it archives again', async () => (await said()).filter((line) => line === 'archiving').length > 1);
});

test('WAL that was lost behind our back is said, and the timer answers it by a new backup, without Juju', async () => {
  const { unit, database } = production;
  const machine = await production.machineOf(unit);
  const stored = async (what: RegExp) =>
    (await readdir(world.share, { recursive: true })).filter((name) => what.test(name));
  const backup = /\/base\/[^/]+\/backup\.json$/;
  const before = await stored(backup);
  await machine.run(['systemctl', 'stop', archiver]);
  await database.sql("alter system set archive_command = '/bin/true'");
  await database.sql('select pg_reload_conf()');
  const lost = await database.sql('select pg_walfile_name(pg_current_wal_insert_lsn())');
  await until('PostgreSQL takes it for archived', async () => {
    await database.sql("update account set title = 'lost'; select pg_switch_wal()", 'landscape-standalone-main');
    const status = await database.sql("select string_agg(f, ' ') from pg_ls_dir('pg_wal/archive_status') f");
    return status.includes(`${lost}.done`);
  });
  await database.sql('alter system reset archive_command');
  await database.sql('select pg_reload_conf()');
  await machine.run(['systemctl', 'start', archiver]);
  await database.sql("update account set title = 'after it'; select pg_switch_wal()", 'landscape-standalone-main');

  for (let minute = 0; minute < 2; minute += 1) await machine.fireTimer(due);

  const after = await stored(backup);
  expect(before).toHaveLength(1);
  expect(after).toHaveLength(2);
  expect(after).toEqual(expect.arrayContaining([...before]));
  expect(await stored(/\/holes\/\d+\.json$/)).toHaveLength(1);
  production.juju.updateStatus(unit);
  await production.until(unit, /^active: 15\/main: can restore to /);
  rows = await everyRow(database);
});

test('on a spare the plan comes first, then it runs as jobs that wake the charm, and what comes of it is a copy', async () => {
  await spare.deploy({ destination });
  const { unit, database } = spare;
  const before = await contents(world.share, /\/guests(\/|$)|\/wal\//);
  const { text, id } = await spare.plan({ to: 'backup' });
  expect(text).toMatch(
    /Nothing has been changed yet\. To do exactly this[\s\S]*juju run landscape-backup\/0 restore confirm=\w+$/,
  );
  const hooks = spare.juju.hooksOf(unit).length;

  expect(await spare.run(unit, 'restore', { confirm: id })).toContain(`the restore of plan ${id} begins on ${unit}`);

  await spare.until(
    unit,
    /^blocked: 15\/main: restored copy of landscape-backup\/0 of the model production, not archived: take-over, or keep it as a copy\. Next: juju run landscape-backup\/0 take-over, or juju run landscape-backup\/0 take-over keep-copy=true$/,
    60,
  );
  expect(await everyRow(database)).toEqual(rows);
  expect(await database.sql('show archive_mode')).toBe('off');
  expect(spare.juju.hooksOf(unit).slice(hooks)).not.toContain('update-status');
  expect(await contents(world.share, /\/guests(\/|$)|\/wal\//)).toEqual(before);
});

test('take-over is refused where a restart is not allowed, and then makes the spare the owner of its own line', async () => {
  const { unit } = spare;
  const refused = await spare.act(unit, 'take-over');
  expect(refused).toMatchObject({
    status: 'failed',
    message: expect.stringContaining('Next: juju config landscape-backup restart-postgresql=true'),
  });
  spare.juju.config('landscape-backup', { 'restart-postgresql': true });
  const machine = await spare.machineOf(unit);
  await until('the option is in force', async () =>
    (await machine.read(`${home}/settings.yaml`)).includes('restart-postgresql: true'),
  );

  expect(await spare.run(unit, 'take-over')).toMatch(/now owns incarnation 2[\s\S]*PostgreSQL was restarted/);
  await machine.fireTimer(due);
  spare.juju.updateStatus(unit);

  await spare.until(unit, /^active: 15\/main: can restore to/, 60);
  const incarnations = await readdir(join(world.share, 'clusters'), { recursive: true });
  const numbers = incarnations.filter((name) => /^\d+\/\d+$/.test(name)).map((name) => name.split('/')[1]);
  expect(new Set(numbers)).toEqual(new Set(['1', '2']));
});
