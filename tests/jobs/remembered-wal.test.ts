import { access, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readCatalogueByMemory, withWalForgotten } from '../../src/jobs/remembered-wal.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import type { Place } from '../../src/repository/layout.ts';
import { openRepository, type Repository } from '../../src/repository/repository.ts';
import { makePrivateFolder, unitFolder, type UnitFolder } from '../../src/system/home.ts';
import { fixedClock } from '../doubles/fixed-clock.ts';
import { countingStorage, ListingCount } from '../doubles/counting-storage.ts';
import type { Fault } from '../doubles/faulty-storage.ts';
import { atThree, memoryRepository, type MemoryRepository } from '../repository/memory-repository.ts';
import { largeSegments, segmentKeys, storeBackupRecord } from '../setup/stored-wal.ts';
import { testIdentifier as systemIdentifier, testOwner } from '../setup/wal-unit.ts';

const place: Place = { systemIdentifier, incarnation: 1 };
const hourMs = 60 * 60 * 1000;

let root: string;
let unit: UnitFolder;
let memory: MemoryRepository;
let clock: ReturnType<typeof fixedClock>;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lb-remembered-'));
  unit = unitFolder(root, '15-main');
  await makePrivateFolder(unit.path);
  memory = await memoryRepository();
  clock = fixedClock(atThree);
  await claimIncarnation(memory.repository, systemIdentifier, 1, testOwner);
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

/** Segments of timeline 1, both ends included. */
const keys = (first: number, last: number, size = largeSegments) => segmentKeys(place, 1, [first, last], size);
const store = (...names: readonly string[]) => {
  for (const key of names) memory.objects.set(key, new Uint8Array());
};
const file = () => join(unit.path, 'wal-index.json');
const isThere = async () =>
  await access(file()).then(
    () => true,
    () => false,
  );
const look = async (repository: Repository = memory.repository) =>
  await readCatalogueByMemory({ unit, clock }, repository, systemIdentifier);
const truth = async () => await readCatalogue(memory.repository, systemIdentifier);
const runs = async (repository?: Repository) =>
  (await look(repository)).incarnations[0]?.wal.timelines.get(1)?.runs.map(({ first, last }) => [first, last]);

/** A repository with whole logs, and a look that remembers them. */
async function remembered(): Promise<void> {
  await storeBackupRecord(memory.repository, place, { segment: 1, segmentSize: largeSegments, daysAgo: 1 });
  store(...keys(1, 42));
  await look();
}

/** Takes a segment out of the middle of what is remembered, as nobody of ours does. */
function steal(segment: number): void {
  for (const key of keys(segment, segment)) memory.objects.delete(key);
}

test('a second look needs as few requests with 100,000 stored segments as with 1,000', async () => {
  const sixteen = 16 * 1024 * 1024;
  await storeBackupRecord(memory.repository, place, { segment: 1, segmentSize: sixteen, daysAgo: 1 });
  const count = new ListingCount();
  const counted = await openRepository(countingStorage(memory.repository.storage, count), undefined);
  const seconds: number[] = [];
  const firsts: number[] = [];
  let stored = 0;
  for (const wanted of [1000, 10_000, 100_000]) {
    store(...keys(stored + 1, wanted, sixteen));
    stored = wanted;
    clock.move(2 * hourMs); // The first look after so long lists everything.
    count.take('');
    await look(counted);
    firsts.push(count.take('/wal/'));
    const told = await look(counted);
    seconds.push(count.take('/wal/'));
    expect(told).toEqual(await truth());
  }
  expect(firsts).toEqual([1, 10, 100]);
  // The folders of the incarnation and of its timeline; its first log, which begins with segment 1; the first whole one; the last.
  expect(seconds).toEqual([5, 5, 5]);
});

test('new segments, a gap that is filled, and a prune from elsewhere are seen by the next look', async () => {
  await remembered();
  store(...keys(43, 45), ...keys(48, 60));
  expect(await look()).toEqual(await truth());
  store(...keys(46, 47));
  expect(await look()).toEqual(await truth());
  expect(await runs()).toEqual([[1, 60]]);
  for (const key of keys(1, 21)) memory.objects.delete(key);
  expect(await runs()).toEqual([[22, 60]]);
  expect(await look()).toEqual(await truth());
});

test('what was stolen from the middle passes for stored for an hour at most, by this clock and by one that was set back', async () => {
  await remembered();
  steal(20);
  clock.move(hourMs - 1);
  expect(await runs()).toEqual([[1, 42]]);
  clock.move(1);
  const whole = [
    [1, 19],
    [21, 42],
  ];
  expect(await runs()).toEqual(whole);
  steal(30);
  clock.move(-1);
  expect((await runs())?.length).toBe(3);
});

test('nothing is written while nothing has changed, nor where nothing is whole', async () => {
  await storeBackupRecord(memory.repository, place, { segment: 1, segmentSize: largeSegments, daysAgo: 1 });
  store(...keys(1, 6));
  await look();
  expect(await isThere()).toBe(false);
  store(...keys(7, 42));
  await look();
  // Each writing makes a file of its own.
  const written = await stat(file());
  clock.move(60_000);
  store(...keys(44, 46));
  await look();
  expect((await stat(file())).ino).toBe(written.ino);
  store(...keys(43, 43));
  await look();
  expect((await stat(file())).ino).not.toBe(written.ino);
});

test('before the first backup, when nothing says for certain how large segments are, all is listed', async () => {
  store(...keys(1, 42));
  await look();
  expect(await isThere()).toBe(false);
});

const spoilings: readonly (readonly [string, (text: string) => string])[] = [
  ['torn', (text) => text.slice(0, text.length / 2)],
  ['empty', () => ''],
  ['changed in one digit', (text) => text.replace('"last": 9', '"last": 8')],
  ['of another format', (text) => text.replace('"format": 1', '"format": 2')],
];

test.each(spoilings)('a memory that is %s is not believed, and is made anew', async (_, spoil) => {
  await remembered();
  steal(20);
  expect(await runs()).toEqual([[1, 42]]); // So it was believed.
  const text = await readFile(file(), 'utf8');
  expect(spoil(text)).not.toBe(text);
  await writeFile(file(), spoil(text));
  expect((await runs())?.length).toBe(2);
  await look();
  expect(await readFile(file(), 'utf8')).not.toBe(spoil(text));
});

test('a memory of another repository, another destination or another size of segments is not believed', async () => {
  await remembered();
  steal(20);
  const elsewhere: Repository = {
    ...memory.repository,
    storage: { ...memory.repository.storage, url: 'memory://moved' },
  };
  expect((await runs(elsewhere))?.length).toBe(2);
  expect((await runs())?.length).toBe(2); // That look has written its own.
  steal(30);
  const record = { ...memory.repository.record, id: 'another' };
  expect((await runs({ ...memory.repository, record }))?.length).toBe(3);
  await look();
  await storeBackupRecord(memory.repository, place, { segment: 9, segmentSize: largeSegments / 2, daysAgo: 0 });
  expect(await look()).toEqual(await truth());
});

test('an error of the destination is the answer of the look, at whichever request; the next one is right', async () => {
  await remembered();
  store(...keys(43, 50));
  const faults: readonly Fault[] = [1, 2, 3, 4, 5].map((nth) => ({
    on: 'folders',
    key: /\/wal\//,
    nth,
    do: 'fail-before',
  }));
  for (const fault of faults)
    await expect(look(await memory.open(fault))).rejects.toMatchObject({ kind: 'unavailable' });
  clock.move(2 * hourMs);
  const listing: Fault = { on: 'list', key: /\/wal\//, do: 'fail-before' };
  await expect(look(await memory.open(listing))).rejects.toMatchObject({ kind: 'unavailable' });
  expect(await look()).toEqual(await truth());
});

test('of several looks at once each is right, and one remembers', async () => {
  await remembered();
  store(...keys(43, 61));
  const told = await Promise.all(Array.from({ length: 6 }, async () => await look()));
  const right = await truth();
  for (const each of told) expect(each).toEqual(right);
  steal(50);
  expect(await runs()).toEqual([[1, 61]]); // The memory holds what came in between.
});

test('while WAL is removed nothing is believed and nothing is remembered, also when that fails', async () => {
  await remembered();
  await expect(
    withWalForgotten(unit, async () => {
      expect(await isThere()).toBe(false);
      steal(20);
      expect((await runs())?.length).toBe(2);
      expect(await isThere()).toBe(false);
      throw new Error('killed');
    }),
  ).rejects.toThrow('killed');
  expect(await isThere()).toBe(false);
  await look();
  expect(await isThere()).toBe(true);
});

test('what removes WAL waits for a look that is under way, and drops what that has remembered', async () => {
  await remembered();
  clock.move(2 * hourMs);
  store(...keys(43, 50));
  const [reached, released] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  const { storage } = memory.repository;
  const slow: Repository = {
    ...memory.repository,
    storage: {
      ...storage,
      list: async function* (prefix) {
        if (prefix.endsWith('/wal/')) {
          reached.resolve(undefined);
          await released.promise;
        }
        yield* storage.list(prefix);
      },
    },
  };
  const looking = look(slow);
  await reached.promise;
  const before = await readFile(file(), 'utf8');
  let mayRemove = false;
  const removing = withWalForgotten(unit, async () => {
    expect([mayRemove, await isThere()]).toEqual([true, false]);
  });
  expect(await look()).toEqual(await truth()); // Nobody else has to wait.
  expect(await readFile(file(), 'utf8')).toBe(before);
  mayRemove = true;
  released.resolve(undefined);
  await Promise.all([looking, removing]);
  expect(await isThere()).toBe(false);
});

test('what can’t be written is no reason not to look; what can’t be forgotten is one not to remove', async () => {
  await mkdir(join(file(), 'in the way'), { recursive: true });
  await remembered();
  expect(await look()).toEqual(await truth());
  let removed = false;
  await expect(
    withWalForgotten(unit, async () => {
      removed = true;
    }),
  ).rejects.toThrow();
  expect(removed).toBe(false);
});

test('a unit without a folder looks all the same', async () => {
  await remembered();
  const away = unitFolder(root, '15-other');
  expect(await readCatalogueByMemory({ unit: away, clock }, memory.repository, systemIdentifier)).toEqual(
    await truth(),
  );
});
