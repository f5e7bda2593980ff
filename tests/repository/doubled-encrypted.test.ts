import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseWalName, segmentName } from '../../src/core/wal-name.ts';
import { listParts, removeParts } from '../../src/repository/wal-parts.ts';
import { readWal } from '../../src/repository/wal-store.ts';
import { layout } from '../../src/repository/layout.ts';
import { openRepository } from '../../src/repository/repository.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { segmentSize } from '../core/catalogue-builder.ts';
import { faultyStorage, type Fault } from '../doubles/faulty-storage.ts';
import type { MemoryDestination } from '../doubles/memory-storage.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import { bytes } from '../storage/bytes.ts';
import {
  claim,
  place,
  plainOf,
  storeBeginning,
  storeSegment,
  storeSegments,
  storeWholeBackup,
  systemIdentifier,
} from './copy-site.ts';
import { makeDoubledSite, type DoubledSite } from './doubled-site.ts';

const [oldKey, newKey] = [newAgeKey(), newAgeKey()];
const changing = encryptionFor([newKey], [oldKey]);
const reading = encryptionFor([newKey], [newKey, oldKey]);
const other = Buffer.alloc(5000, 'another one ');

let site: DoubledSite;
beforeEach(async () => {
  site = await makeDoubledSite(encryptionFor([oldKey]));
  const repository = await site.open();
  await claim(repository, 1, 'owner');
  await storeSegments(repository, 1, 1);
});
afterEach(async () => {
  await site.destroy();
});

const segment = (number: number, generation = '') =>
  `clusters/${systemIdentifier}/1/wal/00000001/00000000/0000000100000000000000${number.toString(16).toUpperCase().padStart(2, '0')}.zst${generation}.age`;
const away: Fault[] = (['put', 'get', 'list', 'folders', 'remove'] as const).map((on) => ({ on, do: 'fail-before' }));
const faulty =
  (...script: Fault[]) =>
  (storage: Storage): Storage =>
    faultyStorage(storage, script);
const firstAway = { first: faulty(...away) };
const keysOf = ({ objects }: MemoryDestination) => [...objects.keys()].toSorted();
const segmentsAt = (destination: MemoryDestination) => keysOf(destination).filter((key) => key.includes('/wal/'));

/** What a destination alone gives to who has the keys. */
async function readAt(destination: MemoryDestination, number: number): Promise<Buffer> {
  return await bytes(readWal(await openRepository(destination.open(), site.id, reading), segment(number)));
}

test('what is stored while the second is away comes there as it is stored', async () => {
  const apart = await site.open({ second: faulty(...away) });
  await storeSegments(apart, 2, 3);
  await storeWholeBackup(apart, { daysAgo: 1, segment: 2 });
  expect(site.second.objects.has(segment(2))).toBe(false);

  await site.settle();

  expect(keysOf(site.second)).toEqual(keysOf(site.first));
  for (const [key, there] of site.second.objects) expect(there, key).toEqual(site.first.objects.get(key));
});

describe('while the first is away', () => {
  test('WAL goes to the second, is noted, compared when it is archived again, and brought over', async () => {
    const repository = await site.open(firstAway);
    expect(await storeSegment(repository, 2, plainOf(2))).toBe('stored');
    expect(await site.folder.keys('first')).toEqual([segment(2)]);

    expect(await storeSegment(repository, 2, plainOf(2))).toBe('already-stored');
    expect(await storeSegment(repository, 1, plainOf(1))).toBe('already-stored');
    await expect(storeSegment(repository, 2, other)).rejects.toMatchObject({ kind: 'conflict' });
    await site.settle();

    expect(keysOf(site.first)).toEqual(keysOf(site.second));
    expect(await readAt(site.first, 2)).toEqual(plainOf(2));
    expect(await site.folder.keys('first')).toEqual([]);
  });

  test('two who archive the same at once are both told that it is stored', async () => {
    const both = await Promise.all([site.open(firstAway), site.open(firstAway)]);
    const told = await Promise.all(both.map(async (each) => await storeSegment(each, 2, plainOf(2))));
    await site.settle();

    expect(told).toContain('already-stored');
    expect(await readAt(site.first, 2)).toEqual(plainOf(2));
    expect(keysOf(site.first)).toEqual(keysOf(site.second));
  });

  test('who dies before he could look finds it at his next try', async () => {
    const dying = await site.open({ ...firstAway, second: faulty({ on: 'folders', do: 'fail-before' }) });
    await expect(storeSegment(dying, 2, plainOf(2))).rejects.toMatchObject({ kind: 'unavailable' });

    expect(await storeSegment(await site.open(firstAway), 2, plainOf(2))).toBe('already-stored');
  });

  test('the beginnings of a segment go to the second and are swept there', async () => {
    const repository = await site.open(firstAway);
    const name = parseWalName(segmentName(1, 2, segmentSize));
    if (name.kind !== 'segment') throw new Error('no segment');
    for (const length of [1000, 2000]) {
      await storeBeginning(repository, place, name.name, plainOf(2).subarray(0, length));
    }
    await removeParts(repository, place, name, [1000]);
    await site.settle();

    expect(await listParts(await site.open(), place, name)).toEqual([2000]);
    expect(keysOf(site.first)).toEqual(keysOf(site.second));
  });

  test('the second says nothing of what the first has taken: that is told when the first says which counts', async () => {
    const breaking = await site.open({ first: faulty({ on: 'folders', do: 'fail-before' }) });
    await expect(storeSegment(breaking, 2, plainOf(2))).rejects.toMatchObject({ kind: 'unavailable' });
    expect(segmentsAt(site.second)).toEqual(segmentsAt(site.first));
  });
});

describe('a segment that was encrypted anew at the first, and not yet at the second,', () => {
  beforeEach(async () => {
    // Only what both have: of what only the first has, its next generation is noted, and it is nowhere else.
    site.second.objects.delete(segment(1));
    await site.rewrap(changing, { second: faulty(...away) });
    expect(segmentsAt(site.first)).toEqual([segment(1, '.2')]);
    expect(await site.folder.keys('second')).toContain(segment(1, '.2'));
    await site.folder.clearAway('second');
  });

  test('is archived again to the second, and no contradiction when either gets what it lacks', async () => {
    expect(await storeSegment(await site.open(firstAway), 1, plainOf(1))).toBe('stored');

    await site.settle();

    expect(segmentsAt(site.first)).toEqual([segment(1, '.2')]);
    expect(segmentsAt(site.second)).toEqual([segment(1, '.2'), segment(1)]);
    expect([await site.folder.keys('first'), await site.folder.keys('second')]).toEqual([[], []]);
    for (const each of [site.first, site.second]) expect(await readAt(each, 1)).toEqual(plainOf(1));
  });

  test.each([
    ['at once', {}, []],
    [
      'also by who is killed before he could look',
      { first: faulty({ on: 'folders', do: 'fail-before' }) },
      [segment(1)],
    ],
  ])('with other bytes is told as a contradiction %s, and both are kept', async (_when, killed, left) => {
    expect(await storeSegment(await site.open(firstAway), 1, other)).toBe('stored');
    const there = site.second.objects.get(segment(1));

    await expect(site.settle(killed)).rejects.toThrow();
    for (const _again of [1, 2])
      await expect(site.settle()).rejects.toThrow(/first\/.*\.2\.age holds other bytes than/);

    expect(segmentsAt(site.first)).toEqual([segment(1, '.2'), ...left]);
    expect(await readAt(site.first, 1)).toEqual(plainOf(1));
    expect(site.second.objects.get(segment(1))).toEqual(there);
    expect(await site.folder.keys('first')).toEqual([segment(1)]);
  });

  test('is kept in both generations where the later one turns out to be damaged', async () => {
    expect(await storeSegment(await site.open(firstAway), 1, plainOf(1))).toBe('stored');
    const renewed = site.first.objects.get(segment(1, '.2')) ?? Buffer.alloc(0);
    site.first.objects.set(segment(1, '.2'), renewed.with(renewed.byteLength - 1, 0).with(renewed.byteLength - 2, 0));

    await expect(site.settle()).rejects.toMatchObject({ kind: 'damaged' });

    expect(segmentsAt(site.first)).toEqual([segment(1, '.2'), segment(1)]);
    expect(await site.folder.keys('first')).toEqual([segment(1)]);
  });

  test('is told as a contradiction at once when the first is back in the middle', async () => {
    const second = (storage: Storage): Storage => ({
      ...storage,
      put: async (key, body) => {
        await storage.put(key, body);
        await site.folder.clearAway('first');
      },
    });
    await site.folder.setAway('first', { kind: 'unavailable', message: 'away', hint: undefined });
    await expect(storeSegment(await site.open({ second }), 1, other)).rejects.toMatchObject({ kind: 'conflict' });
    expect(segmentsAt(site.second)).toEqual([]);

    await site.folder.setAway('first', { kind: 'unavailable', message: 'away', hint: undefined });
    expect(await storeSegment(await site.open({ second }), 1, plainOf(1))).toBe('already-stored');
    await site.settle();
    expect(segmentsAt(site.second)).toEqual(segmentsAt(site.first));
  });
});

test('a segment that was encrypted anew at both is compared with that while the first is away, and nothing is there twice', async () => {
  await site.rewrap(changing);
  site.second.objects.delete(segment(1));
  const repository = await site.open(firstAway);

  expect(await storeSegment(repository, 1, plainOf(1))).toBe('already-stored');
  await expect(storeSegment(repository, 1, other)).rejects.toMatchObject({ kind: 'conflict' });

  expect(segmentsAt(site.second)).toEqual([segment(1, '.2')]);
  expect(await site.folder.keys('first')).toEqual([]);
});

test('a backup that was encrypted anew counts at the second only when what says how its parts are called is there', async () => {
  const apart = { second: faulty(...away) };
  const { id } = await storeWholeBackup(await site.open(apart), { daysAgo: 1, segment: 2 });
  await site.rewrap(changing, apart);
  const folder = layout.backup(place, id);

  const killed = { second: faulty({ on: 'put', key: /\/base\/[^/]+\/rewrap\//, do: 'fail-before' }) };
  await expect(site.settle(killed)).rejects.toMatchObject({ kind: 'unavailable' });
  expect(keysOf(site.second)).not.toContain(`${folder}backup.json`);

  await site.settle();
  const [first, second] = [site.first, site.second].map((each) => keysOf(each).filter((key) => key.startsWith(folder)));
  expect(second).toEqual(first);
});
