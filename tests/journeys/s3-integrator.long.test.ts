import { afterAll, beforeAll, expect, test } from 'vitest';
import { S3Integrator } from '../doubles/s3-integrator.ts';
import { startCeph, type Ceph } from '../setup/ceph.ts';
import { everyRow } from '../setup/landscape-databases.ts';
import { until } from '../setup/wait.ts';
import { makeBucket } from '../storage/s3-site.ts';
import { makeCharmWorld, type CharmModel, type CharmWorld } from './charm-world.ts';

const others = { 'access-key': 'rotatedkey', 'secret-key': 'another-secret-that-no-log-may-show' };

let ceph: Ceph;
let world: CharmWorld;
let production: CharmModel;
let spare: CharmModel;

beforeAll(async () => {
  ceph = await startCeph();
  (await makeBucket(ceph, 'backups')).destroy();
  world = await makeCharmWorld();
  production = await world.addModel('production');
  spare = await world.addModel('spare');
}, 900_000);
afterAll(async () => {
  await world.close();
  await ceph.stop();
});

/** The store's charm in a model, with what its administrator tells it; keys it is given later. */
function deployStore({ juju }: CharmModel, form: 'v0' | 'v1'): S3Integrator {
  const certificate = Buffer.from(ceph.tlsOptions['s3-ca'] ?? '').toString('base64');
  return new S3Integrator(juju, form, {
    bucket: 'backups',
    path: 'landscape',
    endpoint: ceph.tlsOptions['s3-endpoint'] ?? '',
    region: 'us-east-1',
    's3-uri-style': 'path',
    'tls-ca-chain': JSON.stringify([certificate]),
  });
}

function keysOf({ options }: Ceph) {
  return { 'access-key': options['s3-access-key'] ?? '', 'secret-key': options['s3-secret-key'] ?? '' };
}

let store: S3Integrator;

test('a store that its own charm names, with a certificate authority of its own, is all that a backup needs', async () => {
  await production.deploy({ 'restart-postgresql': true });
  const { unit } = production;
  await production.until(unit, /^blocked: the option destination is empty/, 300);
  store = deployStore(production, 'v1');
  store.giveKeys(keysOf(ceph));
  production.juju.integrate('landscape-backup:s3-parameters', store.name);
  await production.until(unit, /^blocked: not joined to a repository at s3:/, 300);

  await production.run(unit, 'init');
  await production.run(unit, 'backup');

  production.juju.updateStatus(unit);
  await production.until(unit, /^active: 15\/main: can restore to/, 300);
  const stored = await ceph.admin('radosgw-admin', 'bucket', 'list', '--bucket=backups', '--max-entries=100000');
  expect(stored).toContain('"landscape/repository.json"');
}, 900_000);

test('keys that are rotated count without a restart and without a segment that fails', async () => {
  const { database, unit } = production;
  const before = await database.sql('select failed_count from pg_stat_archiver');
  const started = await database.sql('select pg_postmaster_start_time()');
  const rgw = async (...args: readonly string[]) => await ceph.admin('radosgw-admin', 'key', ...args, '--uid=test');
  await rgw('create', `--access-key=${others['access-key']}`, `--secret=${others['secret-key']}`);
  store.giveKeys(others);
  const machine = await production.machineOf(unit);
  await until(
    'the unit has the new keys',
    async () => {
      const found = await machine.execute(['grep', '-rlF', others['access-key'], '/var/lib/landscape-backup']);
      return found.exitCode === 0;
    },
    300,
  );
  await rgw('rm', `--access-key=${keysOf(ceph)['access-key']}`);

  await database.sql("update account set title = 'after the rotation'", 'landscape-standalone-main');
  await production.archive(300);

  expect(await database.sql('select failed_count from pg_stat_archiver')).toBe(before);
  expect(await database.sql('select pg_postmaster_start_time()')).toBe(started);
}, 900_000);

test('a spare whose store says its keys in the open restores every row', async () => {
  const rows = await everyRow(production.database);
  await production.archive(300);
  await (await production.machineOf(production.unit)).powerCut();
  const open = deployStore(spare, 'v0');
  open.giveKeys(others);
  await spare.deploy({});
  spare.juju.integrate('landscape-backup:s3-parameters', open.name);
  await spare.until(spare.unit, /^blocked: not joined to a repository at s3:/, 300);

  await spare.restore('production', { to: 'end' });

  expect(await everyRow(spare.database)).toEqual(rows);
}, 900_000);
