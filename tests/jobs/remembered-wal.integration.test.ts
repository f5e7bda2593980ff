import { execa } from 'execa';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { takeBackup } from '../../src/jobs/backup.ts';
import { findHoles } from '../../src/jobs/find-holes.ts';
import { readHealthFacts } from '../../src/jobs/status.ts';
import { parseWalName } from '../../src/core/wal-name.ts';
import { layout, walKey } from '../../src/repository/layout.ts';
import { openRepository, type Repository } from '../../src/repository/repository.ts';
import { readWalMemory } from '../../src/system/wal-memory.ts';
import { countingStorage, ListingCount } from '../doubles/counting-storage.ts';
import { backupContext, makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { jobContext } from '../setup/job-context.ts';
import { becomeOwner } from '../setup/machine.ts';
import { segmentKeys } from '../setup/stored-wal.ts';
import { until } from '../setup/wait.ts';

const segmentMiB = 16;
const perLog = 256;

let archived: ArchivedCluster;
/** How far the unit's clock is ahead. */
let aheadMs = 0;

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster({ segmentMiB });
  await takeBackup(backupContext(archived), { trigger: 'person' });
  await leapTo('000000010000000200000000');
  await turn();
}, 120_000);

afterAll(async () => {
  await archived.machine.destroy();
});

const pathOf = (key: string) => join(archived.machine.destination, key);

/** Lets the server go on at a segment far ahead, as if all up to there had been written and stored. */
async function leapTo(name: string): Promise<void> {
  const { binaries, dataDirectory } = archived.cluster;
  await archived.server.stop();
  await execa(join(binaries, 'pg_resetwal'), ['-l', name, '-D', dataDirectory]);
  for (const key of segmentKeys(archived.place, 1, [0, 2 * perLog - 1], segmentMiB * 1024 * 1024)) {
    const isThere = await access(pathOf(key)).then(
      () => true,
      () => false,
    );
    if (isThere) continue;
    await mkdir(dirname(pathOf(key)), { recursive: true });
    await writeFile(pathOf(key), 'made up');
  }
  await archived.server.start();
}

/** Ends a segment and waits until it is stored; says its name. */
async function turn(): Promise<string> {
  const name = await archived.server.sql('select pg_walfile_name(pg_current_wal_insert_lsn())');
  await archived.server.sql('select txid_current(); select pg_switch_wal()');
  const folder = layout.walFolder(archived.place, parseWalName(name));
  const isStored = async () => (await archived.repository.storage.folders(folder)).includes(`${name}.zst`);
  await until(`${name} is stored`, isStored, 100);
  return name;
}

const context = async () => ({
  ...(await jobContext(archived.machine, archived.server)),
  clock: { now: () => new Date(Date.now() + aheadMs) },
});
const holes = async (repository: Repository = archived.repository) =>
  (await findHoles(await context(), repository)).map(({ why }) => why);
/** But for what the server has written in between. */
const line = async () => ({ ...(await readHealthFacts(await context())).line, behindBytes: 0 });

test('a status says the same with what is remembered as without, and neither it nor run-due lists old logs again', async () => {
  const without = await line();
  expect(without).toMatchObject({ delayed: 0, lost: 0, missing: [] });
  expect(without.found).toBeGreaterThan(perLog);
  expect((await readWalMemory(archived.unit))?.incarnations).toMatchObject([
    { incarnation: 1, whole: [{ timeline: 1, first: 0, last: 1 }] },
  ]);

  expect(await line()).toEqual(without);
  const count = new ListingCount();
  const counted = await openRepository(countingStorage(archived.repository.storage, count), undefined);
  expect(await holes(counted)).toEqual([]);

  expect(count.requests).toContain(`${layout.wal(archived.place)}00000001/00000002/`);
  expect(count.requests).not.toContain(`${layout.wal(archived.place)}00000001/00000001/`);
  expect(count.take('/wal/')).toBeLessThan(6);
});

test('a new segment that is lost is found at once', async () => {
  const name = await turn();
  await turn();
  expect(await holes()).toEqual([]);
  await rm(pathOf(walKey(archived.place, name)));

  expect((await line()).missing).toMatchObject([{ is: 'lost', from: name, segments: 1 }]);
  expect(await holes()).toEqual([expect.stringContaining(`WAL segment ${name} is not stored`)]);
});

test('one that somebody takes out of the middle of old WAL is found within the hour', async () => {
  const name = '000000010000000100000080';
  await rm(pathOf(walKey(archived.place, name)));
  aheadMs = 60 * 60 * 1000;
  expect(await holes()).toEqual([expect.stringContaining(`WAL segment ${name} is not stored`)]);
  expect((await line()).missing).toMatchObject([{ is: 'lost', from: name }, { is: 'lost' }]);
});
