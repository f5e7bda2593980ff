import { beforeEach, describe, expect, test } from 'vitest';
import { Failure, isFailure } from '../../src/core/failure.ts';
import { restorePointSchema } from '../../src/core/record.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { copyRepository } from '../../src/repository/copy.ts';
import { lookAtCopy, measureCopy } from '../../src/repository/copy-state.ts';
import { layout, walKey } from '../../src/repository/layout.ts';
import { appendRecord, readRecords } from '../../src/repository/records.ts';
import { createRepository, openRepository } from '../../src/repository/repository.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { segmentSize } from '../core/catalogue-builder.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import { watch } from '../jobs/prune-site.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import {
  claim,
  expectedOf,
  fill,
  place,
  storeSegments,
  storeWholeBackup,
  systemIdentifier,
  textsOf,
} from './copy-site.ts';
import { atThree, memoryRepository, type MemoryRepository } from './memory-repository.ts';

const unwatched = { signal: new AbortController().signal, copied: () => undefined, readBack: () => undefined };

let original: MemoryRepository;
let there: MemoryDestination;

beforeEach(async () => {
  original = await memoryRepository();
  there = new MemoryDestination();
  await fill(original.repository);
});

async function copy(to: Storage = there.open(), from = original.repository) {
  return await copyRepository({ original: from, copy: to }, unwatched);
}

async function expectUnusable(): Promise<void> {
  await expect(openRepository(there.open(), undefined)).rejects.toMatchObject({ kind: 'missing' });
}

function segmentKey(segment: number): string {
  return walKey(place, segmentName(1, segment, segmentSize));
}

function damage(objects: Map<string, Uint8Array>, key: string): void {
  const bytes = Uint8Array.from(objects.get(key) ?? []);
  bytes[bytes.byteLength - 10] = (bytes[bytes.byteLength - 10] ?? 0) ^ 1;
  objects.set(key, bytes);
}

/** Passes an object on, and counts it from its first byte to its last where it is so long. */
async function* countingLarge(
  body: AsyncIterable<Uint8Array>,
  longest: number,
  reading: { now: number; ever: number; most: number },
): AsyncIterable<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    sizeBytes += chunk.byteLength;
  }
  const isLarge = sizeBytes >= longest;
  if (isLarge)
    [reading.now, reading.ever, reading.most] = [
      reading.now + 1,
      reading.ever + 1,
      Math.max(reading.most, reading.now + 1),
    ];
  for (const chunk of chunks) yield await Promise.resolve(chunk);
  if (isLarge) reading.now -= 1;
}

describe('a copy', () => {
  test('holds byte for byte what counts, and is the same repository', async () => {
    const copied = await copy();

    expect(textsOf(there.objects)).toEqual(expectedOf(original.objects));
    const opened = await openRepository(there.open(), original.repository.record.id);
    const [now, before] = [
      await readCatalogue(opened, systemIdentifier),
      await readCatalogue(original.repository, systemIdentifier),
    ];
    const counted = before.incarnations.map((each) => ({ ...each, unfinished: [], leases: [] }));
    expect(now.incarnations).toEqual(counted);
    expect(copied).toMatchObject({ isNew: true, readBack: 18, storedObjects: there.objects.size - 2 });
  });

  test('of an encrypted repository needs no identity, and still knows what is damaged', async () => {
    original = await memoryRepository(encryptionFor([newAgeKey()]));
    await fill(original.repository);
    const key = `${segmentKey(3)}.age`;
    const whole = original.objects.get(key) ?? new Uint8Array();
    damage(original.objects, key);
    await expect(copy()).rejects.toMatchObject({ kind: 'damaged', message: expect.stringContaining(key) });
    await expectUnusable();

    original.objects.set(key, whole);
    await copy();

    expect(textsOf(there.objects)).toEqual(expectedOf(original.objects));
  });

  test('writes nothing to the original', async () => {
    const before = textsOf(original.objects);

    await copy();

    expect(textsOf(original.objects)).toEqual(before);
  });

  test('has the claims first, every record behind its data, and opens last of all', async () => {
    const order: string[] = [];
    const keep = async (call: string, key: string) => void order.push(`${call} ${key}`);

    await copy(watch(there.open(), keep));

    const at = (key: string) => order.indexOf(`put ${key}`);
    const keys = [...expectedOf(original.objects).keys()];
    const claims = keys.filter((key) => key.endsWith('owner.json'));
    const records = keys.filter((key) => /(backup|files)\.json$|\/\d{8}\.json$/.test(key));
    const tops = ['README.txt', 'repository.json'];
    const data = keys.filter((key) => ![...claims, ...records, ...tops].includes(key));
    expect(order[0]).toBe('put copy.json');
    expect(Math.max(...claims.map(at))).toBeLessThan(Math.min(...data.map(at)));
    expect(Math.max(...data.map(at))).toBeLessThan(Math.min(...records.map(at)));
    expect(Math.max(...records.map(at))).toBeLessThan(at('README.txt'));
    expect(order.slice(-2)).toEqual(['put repository.json', 'remove copy.json']);
  });

  test('takes large objects one at a time, and reads them back so', async () => {
    const partBytes = 9 * 1024 * 1024;
    await storeWholeBackup(original.repository, { daysAgo: 1, segment: 5 }, place, partBytes);
    const reading = { now: 0, ever: 0, most: 0 };
    const counted = (storage: Storage): Storage => ({
      ...storage,
      get: async (key, range) => countingLarge(await storage.get(key, range), partBytes, reading),
    });

    await copy(counted(there.open()), await openRepository(counted(original.repository.storage), undefined));

    expect(reading).toEqual({ now: 0, ever: 6, most: 1 });
  });

  test('that is run again brings what is new and touches nothing else', async () => {
    await copy();
    await storeSegments(original.repository, 8, 9);
    await storeWholeBackup(original.repository, { daysAgo: 1, segment: 8 });
    const size = await measureCopy({ original: original.repository, copy: there.open() });

    const again = await copy();

    expect(textsOf(there.objects)).toEqual(expectedOf(original.objects));
    expect(size).toMatchObject({ missingObjects: 7 + 1 });
    expect(again).toMatchObject({ storedObjects: 7, readBack: 0, isNew: false });
    expect(await copy()).toMatchObject({ storedObjects: 0, storedBytes: 0 });
  });
});

const calls = ['put', 'remove', 'get', 'list', 'folders'] as const;

/** A storage that is gone from the nth call of a kind on, as for a process that was killed there. */
function dying(inner: Storage, on: (typeof calls)[number], nth: number, isDone: boolean): Storage {
  let [count, isDead] = [0, false];
  const call = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    if (!isDead && what === on) count += 1;
    if (!isDead && count < nth) return await work();
    if (!isDead && isDone) await work();
    isDead = true;
    throw new Failure('unavailable', 'gone');
  };
  return {
    ...inner,
    put: async (key, body) => await call('put', async () => await inner.put(key, body)),
    remove: async (key) => await call('remove', async () => await inner.remove(key)),
    get: async (key, range) => await call('get', async () => await inner.get(key, range)),
    folders: async (prefix) => await call('folders', async () => await inner.folders(prefix)),
    list: async function* (prefix) {
      yield* await call('list', async () => inner.list(prefix));
    },
  };
}

async function endOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => 'done',
    (error: unknown) => (isFailure(error) ? error.kind : error),
  );
}

describe('a copy that dies anywhere can not be used, and the same copy again finishes it', () => {
  test.each(calls.flatMap((on) => [false, true].map((isDone) => [on, isDone ? 'after' : 'before', isDone] as const)))(
    'at its place, by any %s, %s it',
    async (on, _when, isDone) => {
      for (let nth = 1; ; nth += 1) {
        there = new MemoryDestination();
        const end = await endOf(copy(dying(there.open(), on, nth, isDone)));
        if (end === 'done') break;
        expect(end, `call ${nth}`).toBe('unavailable');
        const lacks = [...expectedOf(original.objects).keys()].filter((key) => !there.objects.has(key));
        if (lacks.length > 0) await expectUnusable();
        await copy();
        expect(textsOf(there.objects), `call ${nth}`).toEqual(expectedOf(original.objects));
      }
    },
  );

  test.each(['get', 'list', 'folders'] as const)('at the original, by any %s', async (on) => {
    for (let nth = 2; ; nth += 1) {
      there = new MemoryDestination();
      const broken = await original.open({ on, nth, do: 'fail-before' });
      const end = await endOf(copy(there.open(), broken));
      if (end === 'done') break;
      expect(end, `call ${nth}`).toBe('unavailable');
      await expectUnusable();
    }
    expect(textsOf(there.objects)).toEqual(expectedOf(original.objects));
  });

  test.each([0, 1, 600])('where a body of the original ends after %i bytes', async (afterBytes) => {
    const broken = await original.open({ on: 'get', key: /base\.tar|\/wal\//, nth: 3, do: 'truncate', afterBytes });

    expect(await endOf(copy(there.open(), broken))).toBe('damaged');
    await expectUnusable();

    await copy();
    expect(textsOf(there.objects)).toEqual(expectedOf(original.objects));
  });
});

describe('what is not whole is not copied, and the copy is not opened', () => {
  test.each([
    ['a segment', () => segmentKey(3)],
    ['the files of a unit', () => 'files/m/a/u_2f_0/20261124T030000Z-00abcd/files.tar.zst'],
    ['a part of a backup', () => [...original.objects.keys()].find((key) => key.endsWith('base.tar.zst.00002')) ?? ''],
    ['a manifest', () => [...original.objects.keys()].find((key) => key.endsWith('backup_manifest')) ?? ''],
  ])('%s at the original', async (_what, keyOf) => {
    const key = keyOf();
    damage(original.objects, key);

    await expect(copy()).rejects.toMatchObject({ kind: 'damaged', message: expect.stringContaining(key) });

    await expectUnusable();
    expect(there.objects.has(key)).toBe(false);
    const folder = key.slice(0, key.lastIndexOf('/') + 1);
    expect([...there.objects.keys()].filter((each) => each === `${folder}backup.json`)).toEqual([]);
    // All else is there: what is moved aside at the original makes the copy whole.
    original.objects.delete(key);
    if (!key.includes('/wal/')) original.objects.delete(`${folder}${key.includes('/base/') ? 'backup' : 'files'}.json`);
    await copy();
    await openRepository(there.open(), original.repository.record.id);
  });

  test('an object that went bad at its new place', async () => {
    const onceBad = watch(there.open(), async (_call, key) => {
      if (key === segmentKey(4)) damage(there.objects, key);
    });

    await expect(copy(onceBad)).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/memory:\/\/test$/),
      hint: expect.stringContaining(segmentKey(4)),
    });

    await expectUnusable();
    there.objects.delete(segmentKey(4));
    await copy();
    expect(textsOf(there.objects)).toEqual(expectedOf(original.objects));
  });
});

describe('while a copy is made', () => {
  test('the original is archived to and backed up: the copy has at least what there was when it began', async () => {
    const before = expectedOf(original.objects);
    let next = 8;
    const busy = watch(there.open(), async () => {
      if (next > 40) return;
      next += 1;
      await storeSegments(original.repository, next - 1, next - 1);
      if (next % 10 === 0) await storeWholeBackup(original.repository, { daysAgo: 0, segment: next - 1 });
    });

    await copy(busy);

    const copied = textsOf(there.objects);
    for (const [key, bytes] of before) expect(copied.get(key), key).toBe(bytes);
    await expectWhole();
  });

  test.each([1, 5, 9, 13, 17, 21, 25])(
    'a backup is pruned at the original after %i objects: it is whole or none',
    async (after) => {
      let count = 0;
      const pruning = watch(there.open(), async () => {
        count += 1;
        if (count !== after) return;
        const keys = [...original.objects.keys()];
        const record = keys.find((key) => key.endsWith('/backup.json')) ?? '';
        const folder = record.slice(0, -'backup.json'.length);
        // As a prune does it: the record, its parts, its WAL.
        for (const key of [record, ...keys.filter((each) => each.startsWith(folder)), ...[1, 2, 3].map(segmentKey)]) {
          original.objects.delete(key);
        }
      });

      await copy(pruning);

      await expectWhole();
    },
  );

  /** Every record at the copy tells the truth of its parts, and of the WAL that its backup starts with. */
  async function expectWhole(): Promise<void> {
    const opened = await openRepository(there.open(), original.repository.record.id);
    const { incarnations } = await readCatalogue(opened, systemIdentifier);
    for (const { number, backups } of incarnations) {
      for (const { id, archives, startLsn } of backups) {
        const folder = layout.backup({ ...place, incarnation: number }, id);
        for (const { name, sizeBytes } of archives.flatMap(({ parts }) => parts)) {
          expect(there.objects.get(folder + name)?.byteLength, folder + name).toBe(sizeBytes);
        }
        expect(there.objects.has(segmentKey(Number(startLsn / BigInt(segmentSize)))), id).toBe(true);
      }
    }
  }
});

describe('two owners', () => {
  test('a claim that was made at the copy by somebody else stops the copy before a byte of it', async () => {
    await copy();
    const opened = await openRepository(there.open(), undefined);
    await claim(opened, 4, 'who took over at the copy');
    await claim(original.repository, 4, 'who went on at the original');
    await storeSegments(original.repository, 8, 9, { where: { ...place, incarnation: 4 } });
    const before = textsOf(there.objects);

    await expect(copy()).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringMatching(/clusters\/\d+\/4\/ belongs to who went on.* and to who took over/),
    });

    expect(textsOf(there.objects)).toEqual(before);
  });

  test.each([0, 92])(
    'the same segment compressed otherwise is the same, other contents are a conflict (%i on)',
    async (other) => {
      await copy();
      const opened = await openRepository(there.open(), undefined);
      await storeSegments(opened, 8, 8, { level: 19 });
      await storeSegments(original.repository, 8 + other, 8 + other);
      const [key, moved] = [segmentKey(8), original.objects.get(segmentKey(8 + other)) ?? new Uint8Array()];
      original.objects.delete(segmentKey(8 + other));
      original.objects.set(key, Buffer.concat([moved]));
      const stored = there.objects.get(key);

      expect(await endOf(copy())).toBe(other === 0 ? 'done' : 'conflict');

      expect(there.objects.get(key)).toBe(stored);
    },
  );

  test('records of both sides are kept, whatever their numbers, and once', async () => {
    await copy();
    const opened = await openRepository(there.open(), undefined);
    const point = (name: string) => ({ format: 1 as const, name, timeline: 1, lsn: 9n, at: atThree });
    const points = layout.restorePoints(place);
    for (const name of ['x', 'y']) await appendRecord(original.repository, points, restorePointSchema, point(name));
    await appendRecord(opened, points, restorePointSchema, point('z'));

    await copy();
    await copy();

    const names = (await readRecords(opened, points, restorePointSchema)).map(({ value }) => value?.name);
    expect(names).toHaveLength(4);
    expect(new Set(names)).toEqual(new Set(['before', 'x', 'y', 'z']));
  });
});

describe('a place that holds something else is left as it is', () => {
  test.each<[string, 'refused' | 'conflict', () => Promise<void>]>([
    ['files of others', 'refused', async () => await there.open().put('somebody/else', bytesOf('x'))],
    ['another repository', 'conflict', async () => void (await createRepository(there.open(), atThree))],
    [
      'a copy of another repository that was begun',
      'conflict',
      async () => {
        const another = await memoryRepository();
        await fill(another.repository);
        const sides = { original: another.repository, copy: dying(there.open(), 'put', 9, false) };
        await copyRepository(sides, unwatched).catch(() => undefined);
      },
    ],
  ])('%s', async (_what, kind, prepare) => {
    await prepare();
    const before = textsOf(there.objects);

    await expect(copy()).rejects.toMatchObject({ kind });
    await expect(lookAtCopy(original.repository, there.open())).rejects.toMatchObject({ kind });

    expect(textsOf(there.objects)).toEqual(before);
  });

  test('no repository is made where a copy was begun', async () => {
    await copy(dying(there.open(), 'put', 5, false)).catch(() => undefined);

    await expect(createRepository(there.open(), atThree)).rejects.toMatchObject({ kind: 'refused' });
  });

  test('who is stopped says so, and goes on later', async () => {
    const stop = new AbortController();
    const stopping = watch(there.open(), async (_call, key) => {
      if (key === segmentKey(2)) stop.abort();
    });
    const run = copyRepository(
      { original: original.repository, copy: stopping },
      { ...unwatched, signal: stop.signal },
    );

    await expect(run).rejects.toMatchObject({ kind: 'machine', message: 'the copy was stopped' });
    await expectUnusable();

    await copy();
    expect(textsOf(there.objects)).toEqual(expectedOf(original.objects));
  });
});
