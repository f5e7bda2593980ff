import { afterEach, expect, test } from 'vitest';
import { until } from '../setup/wait.ts';
import { everyRow } from '../setup/landscape-databases.ts';
import { makeSiteMachine, type SiteMachine } from './machine.ts';
import { legacyPostgresqlHook, makePostgresqlHost } from './postgresql-host.ts';

const made: SiteMachine[] = [];

async function make(name: string): Promise<SiteMachine> {
  const machine = await makeSiteMachine({ name });
  made.push(machine);
  return machine;
}

afterEach(async () => {
  for (const machine of made.splice(0)) await machine.destroy();
});

test('a cluster runs from systemd, survives a power cut with every row, and two machines have one each', async () => {
  const [one, two] = [
    await makePostgresqlHost(await make('one')),
    await makePostgresqlHost(await make('two'), { databases: false }),
  ];
  expect(await one.machine.run(['systemctl', 'is-active', 'postgresql@15-main'])).toBe('active');
  expect(await one.sql('show archive_mode')).toBe('off');
  const rows = await everyRow(one);
  await one.sql('create table t as select generate_series(1, 1000) i', 'landscape-standalone-main');
  const identifier = await one.sql('select system_identifier from pg_control_system()');

  await one.machine.powerCut();
  expect(await two.sql(`select count(*) from pg_database where datname like 'landscape%'`)).toBe('0');
  await one.machine.boot();

  await until('it is ready', async () => (await one.machine.execute(['pg_isready'])).exitCode === 0);
  expect(await one.sql('select count(*) from t', 'landscape-standalone-main')).toBe('1000');
  await one.sql('drop table t', 'landscape-standalone-main');
  expect(await everyRow(one)).toEqual(rows);
  expect(await one.machine.read('/var/log/postgresql/postgresql-15-main.log')).toContain(
    'database system was interrupted',
  );
  expect(await one.sql('select system_identifier from pg_control_system()')).toBe(identifier);
  expect(await two.sql('select system_identifier from pg_control_system()')).not.toBe(identifier);
});

test('start.conf decides about the boot, and what is disabled nobody starts', async () => {
  const host = await makePostgresqlHost(await make('one'), { databases: false });
  await host.machine.write(`${host.configuration}/start.conf`, 'disabled\n', { owner: 'postgres:postgres' });

  await host.machine.powerCut();
  await host.machine.boot();
  expect(await host.isRunning()).toBe(false);
  await expect(host.start()).rejects.toThrow('failed');
  expect((await host.machine.execute(['pg_ctlcluster', '15', 'main', 'start'])).exitCode).not.toBe(0);
  await legacyPostgresqlHook(host.machine);
  expect(await host.isRunning()).toBe(false);

  await host.machine.write(`${host.configuration}/start.conf`, 'auto\n', { owner: 'postgres:postgres' });
  await legacyPostgresqlHook(host.machine);
  expect(await host.isRunning()).toBe(true);
  await host.stop();
  expect(await host.isRunning()).toBe(false);
});

test("the legacy charm's hook puts its section last, lets root in as postgres and no replication, and starts what was killed", async () => {
  const host = await makePostgresqlHost(await make('one'), { databases: false });
  await legacyPostgresqlHook(host.machine);
  const text = await host.machine.read(`${host.configuration}/postgresql.conf`);
  await legacyPostgresqlHook(host.machine);
  expect(await host.machine.read(`${host.configuration}/postgresql.conf`)).toBe(text);

  await host.kill();
  expect(await host.isRunning()).toBe(false);
  await legacyPostgresqlHook(host.machine);

  const root = ['psql', '-X', '-At', '-U', 'postgres', '-d', 'postgres', '-c', 'show archive_command'] as const;
  expect(await host.machine.run(root)).toBe('/bin/true');
  expect(await host.sql('show archive_mode')).toBe('on');
  const replication = ['psql', '-X', '-d', 'dbname=postgres replication=yes', '-c', 'IDENTIFY_SYSTEM'] as const;
  expect((await host.machine.execute(replication, { user: 'postgres' })).stderr).toContain('no pg_hba.conf entry');
});

test('Landscape signs in over the network from another machine with its password only', async () => {
  const host = await makePostgresqlHost(await make('one'), { password: 'secret' });
  const other = await make('two');
  const [address = '', port = ''] = host.storesHost.split(':');
  const asked = [
    'psql',
    '-X',
    '-At',
    '-h',
    address,
    '-p',
    port,
    '-U',
    'landscape',
    '-d',
    'landscape-standalone-main',
  ] as const;

  const signIn = async (password: string) =>
    await other.execute([...asked, '-c', 'select count(*) from computer'], { env: { PGPASSWORD: password } });

  expect((await signIn('wrong')).stderr).toContain('password authentication failed');
  expect((await signIn('secret')).stderr).toContain('permission denied');
});
