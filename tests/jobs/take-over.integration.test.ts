import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, afterEach, expect, test } from 'vitest';
import { keepCopy, isKeptCopy } from '../../src/jobs/keep-copy.ts';
import { configure } from '../../src/jobs/configure.ts';
import { createRestorePoint } from '../../src/jobs/create-restore-point.ts';
import { takeOver } from '../../src/jobs/take-over.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { readNeededBackups } from '../../src/system/needed-backups.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { jobContext } from '../setup/job-context.ts';
import { asOwner, becomeOwner, type TestCluster } from '../setup/machine.ts';

let original: ArchivedCluster;
let copy: TestCluster;
let count = 0;

beforeAll(async () => {
  becomeOwner();
  original = await makeArchivedCluster();
});

afterAll(async () => {
  await original.machine.destroy();
});

beforeEach(async () => {
  count += 1;
  copy = await original.machine.createCluster(`copy${count}`);
  const { cluster } = original;
  await rm(copy.cluster.dataDirectory, { recursive: true });
  await asOwner('pg_basebackup', [
    '-h',
    cluster.socketDirectory,
    '-p',
    String(cluster.port),
    '-D',
    copy.cluster.dataDirectory,
    '-c',
    'fast',
    '-X',
    'stream',
  ]);
});

afterEach(async () => {
  await copy.stop('immediate');
});

/** Makes the copy what a restore leaves: promoted onto a timeline of its own, within WAL that the original has archived. */
async function promote(): Promise<void> {
  await writeFile(join(copy.cluster.dataDirectory, 'standby.signal'), '');
  await copy.start();
  await copy.sql('select pg_promote()');
  const segment = await original.server.sql(
    'select txid_current(); select pg_walfile_name(pg_current_wal_insert_lsn()); select pg_switch_wal()',
  );
  const name = segment.split('\n')[1] ?? '';
  await expect
    .poll(async () => Object.keys(await stored(1)).some((path) => path.includes(name)), { timeout: 20_000 })
    .toBe(true);
}

const context = async (options: Readonly<Record<string, unknown>> = {}) =>
  await jobContext(original.machine, copy, options);

/** The objects of an incarnation with their bytes. */
async function stored(incarnation: number): Promise<Readonly<Record<string, string>>> {
  const root = join(original.machine.destination, 'clusters', original.place.systemIdentifier, String(incarnation));
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  const read = entries
    .filter((entry) => entry.isFile())
    .map(
      async (entry) =>
        [
          join(entry.parentPath, entry.name).slice(root.length),
          await readFile(join(entry.parentPath, entry.name), 'latin1'),
        ] as const,
    );
  return Object.fromEntries(await Promise.all(read));
}

test('a copy is never archived, is kept as one when a person says so, and can’t make restore points', async () => {
  await promote();
  const { unit } = await context();
  expect(await configure(await context({ 'restart-postgresql': true }), original.repository)).toMatchObject({
    standing: { is: 'copy' },
    archiving: { is: 'off' },
    restarted: false,
  });
  await expect(createRestorePoint(await context(), original.repository, 'x')).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('owns no incarnation'),
  });
  expect(await isKeptCopy(unit, original.place.systemIdentifier)).toBe(false);
  await keepCopy(await context(), original.repository);
  expect(await isKeptCopy(unit, original.place.systemIdentifier)).toBe(true);
  expect(await isKeptCopy(unit, '7')).toBe(false);
});

test('take-over is refused before anything is claimed where its restart is not allowed', async () => {
  await promote();
  const before = await readdir(join(original.machine.destination, 'clusters', original.place.systemIdentifier));
  await expect(takeOver(await context(), original.repository)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining(
      'archive_mode of 15/copy2 can only change with a restart, which the option restart-postgresql does not allow',
    ),
    hint: expect.stringContaining('Set restart-postgresql to true'),
  });
  expect(await readdir(join(original.machine.destination, 'clusters', original.place.systemIdentifier))).toEqual(
    before,
  );
  expect(await readdir((await context()).unit.path)).toEqual(['init.lock', 'journal.jsonl']);
  expect(await copy.sql('show archive_mode')).toBe('off');
});

test('a clone without a timeline of its own is refused', async () => {
  await copy.start();
  await expect(takeOver(await context({ 'restart-postgresql': true }), original.repository)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('is a clone of its original'),
  });
});

test('a promoted copy takes over the next incarnation and archives only there', async () => {
  await promote();
  await original.server.stop();
  const parents = await stored(1);
  const taken = await takeOver(await context({ 'restart-postgresql': true }), original.repository);
  expect(taken).toMatchObject({
    claimed: true,
    restarted: true,
    standing: { is: 'owner' },
    archiving: { is: 'on' },
    incarnation: { number: 2, owner: { parent: { incarnation: 1, timeline: 1 } } },
  });
  const { unit } = await context();
  expect(await readNeededBackups(unit)).toMatchObject([
    { reason: 'foreign-archiver', incarnation: 2 },
    { reason: 'take-over', incarnation: 2 },
  ]);

  const again = await takeOver(await context({ 'restart-postgresql': true }), original.repository);
  expect(again).toMatchObject({ claimed: false, restarted: false, incarnation: { number: 2 } });

  const point = await createRestorePoint(await context(), original.repository, 'after-take-over');
  expect(point.timeline).toBe(2);
  await expect
    .poll(async () => Object.keys(await stored(2)).filter((path) => /wal\/00000002\/[0-9A-F]{8}\//.test(path)).length, {
      timeout: 20_000,
    })
    .toBeGreaterThan(0);
  const names = Object.keys(await stored(2));
  expect(names).toContain('/wal/00000002/history/00000002.history.zst');
  expect(await stored(1)).toEqual(parents);
  const catalogue = await readCatalogue(original.repository, original.place.systemIdentifier);
  expect(catalogue.incarnations[1]?.restorePoints).toEqual([point]);
  await expect(createRestorePoint(await context(), original.repository, 'after-take-over')).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('there is a restore point "after-take-over" already'),
  });
  await expect(keepCopy(await context(), original.repository)).rejects.toMatchObject({
    kind: 'refused',
    message: 'the cluster 15/copy4 is not a copy',
  });
  await original.server.start();
});
