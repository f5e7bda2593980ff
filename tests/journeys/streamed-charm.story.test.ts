import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readLsn, type Lsn } from '../../src/core/lsn.ts';
import { walNameOfKey } from '../../src/repository/layout.ts';
import { everyRow } from '../setup/landscape-databases.ts';
import { endOf } from '../setup/streamed-cluster.ts';
import { until } from '../setup/wait.ts';
import { destination, makeCharmWorld, type CharmModel, type CharmWorld } from './charm-world.ts';

let world: CharmWorld;
let production: CharmModel;
let spare: CharmModel;

beforeAll(async () => {
  world = await makeCharmWorld();
  production = await world.addModel('production');
  spare = await world.addModel('spare');
});

afterAll(async () => {
  await world.close();
});

const due = 'landscape-backup-landscape-backup-0-due';

/** Runs what the timer runs, and has Juju hear of it. */
async function minute(): Promise<void> {
  const { juju, unit } = production;
  await (await production.machineOf(unit)).fireTimer(due);
  juju.updateStatus(unit);
}

/** Up to where WAL is stored. */
async function storedEnd(): Promise<Lsn> {
  const paths = await readdir(world.share, { recursive: true });
  const size = await production.database.sql("select setting from pg_settings where name = 'wal_segment_size'");
  const names = paths.flatMap((path) => (path.includes('/wal/') ? (walNameOfKey(`/${path}`) ?? []) : []));
  return endOf(names.toSorted(), Number(size));
}

test('where PostgreSQL lets nobody replicate the status says which line is missing, and nothing keeps WAL for ever', async () => {
  const { database } = production;
  const hba = `${database.configuration}/pg_hba.conf`;
  await database.machine.run(['sed', '-i', '/^[a-z]*[[:space:]]*replication[[:space:]]/d', hba]);
  await database.sql('select pg_reload_conf()');
  await production.deploy({ destination, 'restart-postgresql': true, 'wal-method': 'stream', 'archive-timeout': 0 });
  const { unit } = production;
  await production.run(unit, 'init').catch(() => undefined); // How it ends is the status's matter here.
  production.juju.updateStatus(unit);

  await production.until(unit, /^blocked: .*can't be streamed.*pg_hba\.conf.*local replication postgres peer/, 60);
  expect(await database.sql('select count(*) from pg_replication_slots')).toBe('0');
});

test('with the line WAL is streamed without archive_timeout, and the unit is active', async () => {
  const { unit, database } = production;
  const hba = `${database.configuration}/pg_hba.conf`;
  await database.machine.run(['sh', '-c', `echo 'local replication postgres peer' >>${hba}`]);
  await database.sql('select pg_reload_conf()');
  await minute();
  await until(
    'WAL is received',
    async () => {
      await minute();
      return (await database.sql('select count(*) from pg_stat_replication')) === '1';
    },
    120,
  );

  await production.run(unit, 'backup');
  await minute();

  await production.until(unit, /^active: 15\/main: can restore to/, 60);
  expect(await production.run(unit, 'status')).toMatch(/WAL is streamed/);
});

test('what was committed seconds before the machine was lost comes back on a spare', async () => {
  const { database } = production;
  await database.sql("update account set title = 'the last word'", 'landscape-standalone-main');
  const rows = await everyRow(database);
  const said = await database.sql('select pg_current_wal_insert_lsn()');
  const lsn = readLsn(said);
  if (lsn === undefined) throw new Error(`${said} is no LSN`);
  // Nothing is received of what has not been written after it.
  await database.sql("select pg_logical_emit_message(true, 'test', 'after it')");
  await until(`all up to ${said} is stored`, async () => (await storedEnd()) >= lsn, 120);
  expect(await database.sql('select pg_walfile_name(pg_current_wal_lsn())')).toBe(
    await database.sql(`select pg_walfile_name('${said}')`),
  );
  await (await production.machineOf(production.unit)).powerCut();

  await spare.deploy({ destination });
  await spare.restore('production', { to: 'end' });

  expect(await everyRow(spare.database)).toEqual(rows);
});
