import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseWalName, segmentName } from '../../src/core/wal-name.ts';
import { findWal } from '../../src/archiver/find-wal.ts';
import { missingSegments } from '../../src/jobs/wal-arrival.ts';
import { highestGeneration } from '../../src/repository/generations.ts';
import { generationName, layout, readGeneration, walNameOfKey } from '../../src/repository/layout.ts';
import { listIncarnations } from '../../src/repository/incarnations.ts';
import { openRepository, type Repository } from '../../src/repository/repository.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import { listParts, removeParts } from '../../src/repository/wal-parts.ts';
import { listWal, readWal, sealAt, storeWal, verifyWal, walKeyIn } from '../../src/repository/wal-store.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { segmentSize } from '../core/catalogue-builder.ts';
import { changing, makeRewrapSite, partLength, reading, run, type RewrapSite } from '../jobs/rewrap-site.ts';
import { all, bytes } from '../storage/bytes.ts';
import { place, systemIdentifier } from './copy-site.ts';

const name = parseWalName(segmentName(1, 3, segmentSize));
const plain = Buffer.alloc(5000, 'segment 3 ');
const other = Buffer.alloc(5000, 'another 3 ');

let site: RewrapSite;
let folder: string;
let path: string;
/** The key of the segment as it was first stored. */
let first: string;

beforeEach(async () => {
  site = await makeRewrapSite();
  folder = await mkdtemp(join(tmpdir(), 'generations-'));
  path = join(folder, 'segment');
  first = walKeyIn(site.memory.repository, place, name.name);
});
afterEach(async () => {
  await site.destroy();
  await rm(folder, { recursive: true });
});

async function archive(contents: Uint8Array, repository = site.memory.repository) {
  await writeFile(path, contents);
  return await storeWal(repository, place, name, path, 1);
}

async function through(wrap: (storage: Storage) => Storage): Promise<Repository> {
  return await openRepository(wrap(site.memory.repository.storage), undefined, reading);
}

function generations(): readonly string[] {
  return [...site.memory.objects.keys()].filter((key) => key.startsWith(first.replace(/age$/, ''))).sort();
}

test.each([
  ['base.tar.zst.2.age.00001', 'base.tar.zst.age.00001', 2],
  ['16384.tar.zst.age.00001', '16384.tar.zst.age.00001', 1],
  ['backup_manifest.12.age', 'backup_manifest.age', 12],
  ['000000010000000000000003.00001000.part.zst.3.age', '000000010000000000000003.00001000.part.zst.age', 3],
])('%s is a generation of %s', (given, was, number) => {
  expect(readGeneration(given)).toEqual({ first: was, number });
  expect(generationName({ first: was, number })).toBe(given);
});

test.each(['backup.json', 'a.zst', 'a.age.zst', '.age', '000000010000000000000003.zst.0.agee'])(
  '%s is no generation of anything',
  (given) => {
    expect(readGeneration(given)).toBeUndefined();
  },
);

test('a listing names a WAL file once, in whichever generations it is there', async () => {
  const { storage } = site.memory.repository;
  const names = await all(listWal(site.memory.repository, place));
  const old = site.memory.objects.get(first) ?? Buffer.alloc(0);
  await run(await site.context());
  await storage.put(first, bytesOf(old));

  expect(generations()).toHaveLength(2);
  expect(walNameOfKey(generations()[0] ?? '')).toBe(name.name);
  for (const key of generations()) expect(await highestGeneration(storage, key)).toBe(first.replace('.age', '.2.age'));
  expect(await all(listWal(site.memory.repository, place))).toEqual(names);
});

describe('who archives a segment that is stored in a later generation', () => {
  beforeEach(async () => {
    await run(await site.context());
    expect(generations()).toEqual([first.replace('.age', '.2.age')]);
  });

  test('is told that it is stored already, and nothing is there twice', async () => {
    const archiver = await site.memory.openWith({ ...changing, identities: [] });
    expect(await archive(plain, archiver)).toBe('already-stored');
    expect(generations()).toHaveLength(1);
  });

  test('is refused other bytes, though the name is free, and they are nowhere', async () => {
    await expect(archive(other)).rejects.toMatchObject({ kind: 'conflict' });
    expect(generations()).toHaveLength(1);
    expect((await bytes(readWal(await site.memory.openWith(reading), first))).equals(plain)).toBe(true);
  });

  test('is refused them again when he died before he could look, and nobody ever reads them', async () => {
    const dying = await through((storage) => ({
      ...storage,
      folders: async () => await Promise.reject(new Error('killed')),
    }));
    await expect(archive(other, dying)).rejects.toThrow('killed');
    expect(generations()).toHaveLength(2);

    const reader = await site.memory.openWith(reading);
    expect((await bytes(readWal(reader, first))).equals(plain)).toBe(true);
    await expect(archive(other)).rejects.toMatchObject({ kind: 'conflict' });
    expect(await archive(plain)).toBe('already-stored');
    await expect(run(await site.context({ encryption: reading }))).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringContaining(first),
    });
    expect((await bytes(readWal(reader, first))).equals(plain)).toBe(true);
  });

  test('is refused them when the sweep comes between his first try and his put', async () => {
    await site.destroy();
    site = await makeRewrapSite();
    const late = await through((storage) => ({
      ...storage,
      put: async (key, body, pace) => {
        await run(await site.context());
        await storage.put(key, body, pace);
      },
    }));
    await expect(archive(other, late)).rejects.toMatchObject({ kind: 'conflict' });
    expect((await bytes(readWal(await site.memory.openWith(reading), first))).equals(plain)).toBe(true);
  });
});

describe('who reads while objects are encrypted anew', () => {
  test.each(['folders', 'get'] as const)('finds the segment when the sweep comes before his %s', async (call) => {
    let isDone = false;
    const once = async () => {
      if (isDone) return;
      isDone = true;
      await run(await site.context());
    };
    const reader = await through((storage) => ({
      ...storage,
      folders: async (prefix) => {
        if (call === 'folders') await once();
        return await storage.folders(prefix);
      },
      get: async (key, range) => {
        if (call === 'get' && key.includes('/wal/')) await once();
        return await storage.get(key, range);
      },
    }));
    expect((await bytes(readWal(reader, first))).equals(plain)).toBe(true);
    expect(isDone).toBe(true);
    expect((await sealAt(reader, first)).length).toBe(plain.byteLength);
    expect(await verifyWal(reader, first)).toBe('opened');
  });

  test('is never told that it is absent by a listing that saw neither generation', async () => {
    let blind = 0;
    const reader = await through((storage) => ({
      ...storage,
      folders: async (prefix) => {
        if (!prefix.includes('/wal/') || blind > 0) return await storage.folders(prefix);
        blind += 1;
        // As if the next one came behind the listing's back, and the one before went ahead of it.
        const names = await storage.folders(prefix);
        await run(await site.context());
        return names.filter((each) => !each.startsWith(name.name));
      },
    }));
    const line = await listIncarnations(reader, systemIdentifier);
    expect(await findWal(reader, systemIdentifier, line, name)).toEqual(place);
    expect(blind).toBe(1);
    expect(await findWal(reader, systemIdentifier, line, parseWalName(segmentName(1, 9, segmentSize)))).toBeUndefined();
    const wanted = { timeline: 1, first: 1, last: 9, segmentSize };
    expect(await missingSegments(reader, place, wanted)).toEqual(
      [6, 7, 8, 9].map((each) => segmentName(1, each, segmentSize)),
    );
  });

  test('lists again when a sweep began in the time of the listing', async () => {
    let isDone = false;
    const reader = await through((storage) => ({
      ...storage,
      list: async function* (prefix) {
        const there = await all(storage.list(prefix));
        if (!isDone && prefix === layout.wal(place)) {
          isDone = true;
          await run(await site.context());
          yield* there.filter(({ key }) => !key.includes(name.name));
          return;
        }
        yield* there;
      },
    }));
    expect(await all(listWal(reader, place))).toContain(name.name);
    expect(isDone).toBe(true);
  });
});

test('a superseded beginning goes in all its generations', async () => {
  await run(await site.context());
  const segment = parseWalName(segmentName(1, 7, segmentSize));
  if (segment.kind !== 'segment') throw new Error('no segment');
  const { repository } = site.memory;
  expect(await listParts(repository, place, segment)).toEqual([partLength]);

  await removeParts(repository, place, segment, [partLength]);

  expect([...site.memory.objects.keys()].filter((key) => key.includes(segment.name))).toEqual([]);
});
