import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseWalName } from '../../src/core/wal-name.ts';
import { walKey } from '../../src/repository/layout.ts';
import { listWal, readWal, sealAt, storeWal } from '../../src/repository/wal-store.ts';
import { all, bytes, noise } from '../storage/bytes.ts';
import { memoryRepository, type MemoryRepository } from './memory-repository.ts';

const place = { systemIdentifier: '7300000000000000001', incarnation: 1 };
const name = parseWalName('000000010000000000000003');
const key = walKey(place, name.name);
const plain = noise(1024 * 1024);

let folder: string;
let path: string;
let memory: MemoryRepository;

beforeEach(async () => {
  memory = await memoryRepository();
  folder = await mkdtemp(join(tmpdir(), 'lb-wal-'));
  path = join(folder, 'segment');
  await writeFile(path, plain);
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

test('a WAL file is stored once, and comes back; the same bytes again are already stored, at another level too', async () => {
  expect(await storeWal(memory.repository, place, name, path, 1)).toBe('stored');
  const stored = memory.objects.get(key);

  expect(await storeWal(memory.repository, place, name, path, 19)).toBe('already-stored');

  expect(memory.objects.get(key)).toBe(stored);
  expect((await bytes(readWal(memory.repository, key))).equals(plain)).toBe(true);
  expect(await sealAt(memory.repository, key)).toMatchObject({ length: plain.byteLength });
  expect(await all(listWal(memory.repository, place))).toEqual([name.name]);
});

test.each([
  ['other bytes', noise(plain.byteLength, 2)],
  ['fewer bytes', plain.subarray(1)],
])('the same name with %s is a conflict, and the old ones stay', async (_name, other) => {
  await storeWal(memory.repository, place, name, path, 1);
  await writeFile(path, other);

  await expect(storeWal(memory.repository, place, name, path, 1)).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringContaining(name.name),
  });

  expect((await bytes(readWal(memory.repository, key))).equals(plain)).toBe(true);
});

test.each<[string, (whole: Buffer) => Buffer]>([
  ['cut in its frame', (whole) => whole.subarray(0, -10)],
  ['cut in its seal', (whole) => whole.subarray(0, 20)],
  ['empty', () => Buffer.alloc(0)],
  [
    'changed in its frame',
    (whole) => Buffer.concat([whole.subarray(0, 5000), Buffer.from([1, 2, 3]), whole.subarray(5003)]),
  ],
])('an object in the way that is %s is damaged, stays, and is no success', async (_name, damage) => {
  await storeWal(memory.repository, place, name, path, 1);
  const damaged = damage(Buffer.from(memory.objects.get(key) ?? []));
  memory.objects.set(key, damaged);

  await expect(storeWal(memory.repository, place, name, path, 1)).rejects.toMatchObject({
    kind: 'damaged',
    message: expect.stringContaining(key),
    hint: expect.stringContaining(`move ${key} aside`),
  });

  expect(memory.objects.get(key)).toBe(damaged);
});

test('a put whose answer was lost is a failure, and the next try finds it stored', async () => {
  const losing = await memory.open({ on: 'put', nth: 1, do: 'fail-after' });

  await expect(storeWal(losing, place, name, path, 1)).rejects.toMatchObject({ kind: 'unavailable' });

  expect(await storeWal(losing, place, name, path, 1)).toBe('already-stored');
});

test('a conflict that cannot be looked at is unavailable and not a success', async () => {
  await storeWal(memory.repository, place, name, path, 1);

  for (const nth of [1, 2]) {
    const blind = await memory.open({ on: 'get', key: /zst/, nth, do: 'fail-before' });
    await expect(storeWal(blind, place, name, path, 1)).rejects.toMatchObject({ kind: 'unavailable' });
  }
});

test("a file that is not there is the machine's failure and never the destination's", async () => {
  await expect(storeWal(memory.repository, place, name, join(folder, 'none'), 1)).rejects.toMatchObject({
    kind: 'machine',
    message: expect.stringContaining(join(folder, 'none')),
  });
  expect(memory.objects.has(key)).toBe(false);
});

test('a destination that hands back less than it has is damaged', async () => {
  await storeWal(memory.repository, place, name, path, 1);
  const short = await memory.open({ on: 'get', key: /zst/, do: 'truncate', afterBytes: 100_000 });

  await expect(bytes(readWal(short, key))).rejects.toMatchObject({ kind: 'damaged' });
});
