/**
 * The part of `npm run bench` about what a decision costs with many stored segments, without PostgreSQL.
 *
 *   node tests/bench/decisions.ts [--runs 3]
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { archiveWal } from '../../src/archiver/archive-wal.ts';
import { restoreWal, servePlanFile } from '../../src/archiver/restore-wal.ts';
import { servePlanSchema } from '../../src/core/restore-service.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import { wayTo } from '../../src/core/restorable.ts';
import { walRuns } from '../../src/core/wal-line.ts';
import { readCatalogueByMemory } from '../../src/jobs/remembered-wal.ts';
import { walKey } from '../../src/repository/layout.ts';
import { openRepository } from '../../src/repository/repository.ts';
import { machineClock } from '../../src/system/clock.ts';
import { writeJson } from '../../src/system/files.ts';
import { countingStorage, ListingCount } from '../doubles/counting-storage.ts';
import { storeBackupRecord } from '../setup/stored-wal.ts';
import { makeWalUnit, mebibyte, testIdentifier, type WalUnit } from '../setup/wal-unit.ts';
import { compareRuns } from './compare.ts';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' } } });
const runs = Number(values.runs);
const sizeBytes = 16 * mebibyte;
const counts = [10, 1000, 100_000] as const;
const callsARun = 15;

/** A repository that holds so many segments, from the first on: all names of the same stored bytes. */
interface Filled {
  readonly at: WalUnit;
  readonly stored: number;
  /** The segment that is archived next. */
  next: number;
}

async function fill(stored: number): Promise<Filled> {
  const at = await makeWalUnit();
  const first = await at.segment({ timeline: 1, number: 1, sizeBytes });
  await archive(at, first);
  const pathOf = (name: string) => join(at.destination, walKey(at.place, name));
  const bytes = await readFile(pathOf(first.name));
  for (let number = 2; number <= stored; number += 1) {
    const path = pathOf(segmentName(1, number, sizeBytes));
    if (number % 256 === 0 || number === 2) await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
  // From the first segment on the line has to be whole.
  await storeBackupRecord(at.repository, at.place, { segment: 1, segmentSize: sizeBytes, daysAgo: 0 });
  return { at, stored, next: stored + 1 };
}

async function archive({ unit, dataDirectory }: WalUnit, file: { name: string; path: string }): Promise<void> {
  await archiveWal({ unit, dataDirectory, ...file }, machineClock);
}

async function get({ unit, dataDirectory }: WalUnit, name: string): Promise<string> {
  const request = { unit, dataDirectory, path: 'pg_wal/RECOVERYXLOG', name, isWanted: () => true };
  return await restoreWal(request, machineClock);
}

/** Milliseconds of a call. */
async function timed(call: (index: number) => Promise<void>): Promise<number> {
  const took: number[] = [];
  for (let index = 0; index < callsARun; index += 1) {
    const began = performance.now();
    await call(index);
    took.push(performance.now() - began);
  }
  return took.sort((a, b) => a - b)[Math.floor(took.length / 2)] ?? Number.NaN;
}

async function push(filled: Filled): Promise<number> {
  const files: { name: string; path: string }[] = [];
  for (let index = 0; index < callsARun; index += 1) {
    files.push(await filled.at.segment({ timeline: 1, number: filled.next, sizeBytes }));
    filled.next += 1;
  }
  const milliseconds = await timed(async (index) => {
    const file = files[index];
    if (file !== undefined) await archive(filled.at, file);
  });
  for (const { path } of files) await rm(join(filled.at.dataDirectory, path));
  return milliseconds;
}

/** A segment, by a plan that lists them all. */
async function getPlanned({ at, stored }: Filled): Promise<number> {
  await mkdir(at.unit.restore, { recursive: true });
  const service = {
    repositoryId: at.repository.record.id,
    url: at.url,
    systemIdentifier: at.place.systemIdentifier,
    segmentSize: sizeBytes,
    segments: [{ timeline: 1, first: 1, last: stored, incarnation: 1 }],
    histories: [],
  };
  await writeJson(servePlanFile(at.unit), servePlanSchema, { format: 1, planId: 'b', patienceSeconds: 5, service });
  const milliseconds = await timed(async () => {
    // The first one: all the others have its bytes, and so its page.
    if ((await get(at, segmentName(1, 1, sizeBytes))) !== 'served') throw new Error('it is stored');
  });
  await rm(servePlanFile(at.unit));
  return milliseconds;
}

/** The end of the WAL, without a plan: nothing of that name, and nothing after it. */
async function getAbsent(filled: Filled): Promise<number> {
  return await timed(async () => {
    const name = segmentName(1, filled.next + 5, sizeBytes);
    if ((await get(filled.at, name)) !== 'absent') throw new Error('it is not stored');
  });
}

/** What `status` and `run-due` find out each minute: what has become of every segment since the newest backup. */
async function look({ at, next }: Filled): Promise<number> {
  const count = new ListingCount();
  const repository = await openRepository(countingStorage(at.repository.storage, count), undefined);
  const once = async () => {
    const catalogue = await readCatalogueByMemory({ unit: at.unit, clock: machineClock }, repository, testIdentifier);
    const way = wayTo(catalogue, at.place.incarnation, 1);
    const runs = way === undefined ? [] : walRuns(way, new Map(), 1, next);
    if (runs.length !== 1 || runs[0]?.is !== 'found') throw new Error('all of it is stored');
  };
  await once(); // The first one after an hour lists everything.
  count.take('');
  const milliseconds = await timed(once);
  process.stdout.write(`  ${next - 1} stored: ${count.take('/wal/') / callsARun} listings of WAL a look\n`);
  return milliseconds;
}

const kinds = [
  ['archive-wal of a new segment', push],
  ['restore-wal of a segment, by a plan', getPlanned],
  ['restore-wal at the end of the WAL, without a plan', getAbsent],
  ['the look of status and run-due at the WAL', look],
] as const;

const filled: Filled[] = [];
try {
  for (const count of counts) filled.push(await fill(count));
  const [few, ...more] = filled;
  for (const [what, run] of kinds) {
    for (const many of more) {
      if (few === undefined) continue;
      await compareRuns(
        `${what}, ms with ${many.stored} stored segments`,
        'about 1',
        runs,
        {
          name: `${many.stored} stored`,
          run: async () => await run(many),
        },
        { name: `${few.stored} stored`, run: async () => await run(few) },
      );
    }
  }
} finally {
  for (const { at } of filled) await at.remove();
}
