import { mkdir, rename, rm } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { isSharedFolder } from '../../src/repository/layout.ts';
import { createRepository, openRepository } from '../../src/repository/repository.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import { faultyStorage } from '../doubles/faulty-storage.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import { bodyOf, text } from '../storage/bytes.ts';
import { temporaryDirectory } from '../storage/temporary-directory.ts';
import { memoryRepository, atThree } from './memory-repository.ts';

const note = z.object({ note: z.string() });

test('a repository is created once; who creates it again opens the same', async () => {
  const destination = new MemoryDestination();

  const first = await createRepository(destination.open(), atThree);
  const second = await createRepository(destination.open(), atThree);

  expect([first.created, second.created]).toEqual([true, false]);
  expect(second.repository.record).toEqual(first.repository.record);
  expect([...destination.objects.keys()].toSorted()).toEqual(['README.txt', 'repository.json']);
});

test('two that create at once, in a real directory, get the same one', async () => {
  const directory = await temporaryDirectory();
  const open = async () => await openDirectory(directory.path, { url: 'file:///x', isShared: isSharedFolder });

  const made = await Promise.all([1, 2, 3, 4].map(async () => await createRepository(await open(), atThree)));

  expect(made.filter(({ created }) => created)).toHaveLength(1);
  expect(new Set(made.map(({ repository }) => repository.record.id)).size).toBe(1);
  await directory.destroy();
});

test('a creation that died after its README is gone on with', async () => {
  const destination = new MemoryDestination();
  const dying = faultyStorage(destination.open(), [{ on: 'put', key: /repository/, do: 'fail-before' }]);
  await expect(createRepository(dying, atThree)).rejects.toMatchObject({ kind: 'unavailable' });

  expect((await createRepository(destination.open(), atThree)).created).toBe(true);
});

test('a creation whose answer was lost is found by the next', async () => {
  const destination = new MemoryDestination();
  const losing = faultyStorage(destination.open(), [{ on: 'put', key: /repository/, do: 'fail-after' }]);
  await expect(createRepository(losing, atThree)).rejects.toMatchObject({ kind: 'unavailable' });

  expect((await createRepository(destination.open(), atThree)).created).toBe(false);
});

test('a directory with other files is refused and nothing is added', async () => {
  const destination = new MemoryDestination();
  await destination.open().put('photos/cat.jpg', bodyOf(''));

  await expect(createRepository(destination.open(), atThree)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('photos/cat.jpg'),
  });

  expect([...destination.objects.keys()]).toEqual(['photos/cat.jpg']);
});

test('a destination without a repository is missing one, and opening creates nothing', async () => {
  const destination = new MemoryDestination();

  await expect(openRepository(destination.open(), undefined)).rejects.toMatchObject({
    kind: 'missing',
    hint: expect.stringContaining('init'),
  });
  expect(destination.objects.size).toBe(0);
});

test('an error while asking is never "no repository"', async () => {
  const destination = new MemoryDestination();
  await createRepository(destination.open(), atThree);

  for (const on of ['get', 'list'] as const) {
    const faulty = faultyStorage(destination.open(), [{ on, do: 'fail-before' }]);
    if (on === 'get') await expect(openRepository(faulty, undefined)).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(createRepository(faulty, atThree)).rejects.toMatchObject({ kind: 'unavailable' });
  }
  expect(destination.objects.size).toBe(2);
});

test('another repository than the expected one is a conflict that names both', async () => {
  const { repository, open } = await memoryRepository();
  const storage = (await open()).storage;

  await expect(openRepository(storage, 'f'.repeat(32))).rejects.toMatchObject({
    kind: 'conflict',
    message: expect.stringMatching(new RegExp(`${repository.record.id}.*${'f'.repeat(32)}`)),
  });
});

test.each<[string, string, string, RegExp]>([
  ['no JSON', '{', 'damaged', /is not JSON/],
  ['cut to nothing', '', 'damaged', /is not JSON/],
  ['of a later format', '{"format":2,"new":true}', 'refused', /has format 2, this version knows format 1/],
  ['something else', '{"name":"left-pad"}', 'damaged', /format/],
  ['another product', '{"format":1,"product":"x","id":"x","createdAt":"x","encryption":"none"}', 'damaged', /product/],
])('a repository.json that is %s', async (_name, contents, kind, message) => {
  const destination = new MemoryDestination();
  await destination.open().put('repository.json', bodyOf(contents));

  await expect(openRepository(destination.open(), undefined)).rejects.toMatchObject({
    kind,
    message: expect.stringMatching(message),
  });
});

test('missing leaves the repository only while the repository itself is there', async () => {
  const { repository, objects } = await memoryRepository();
  await expect(repository.read('a')).rejects.toMatchObject({ kind: 'missing' });
  expect(await repository.readJson('a', note)).toBeUndefined();

  const record = objects.get('repository.json') ?? new Uint8Array();
  objects.clear();
  for (const ask of [async () => await repository.read('a'), async () => await repository.readJson('a', note)]) {
    await expect(ask()).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringContaining('is gone') });
  }

  const other = Buffer.from(record).toString().replace(repository.record.id, 'e'.repeat(32));
  objects.set('repository.json', Buffer.from(other));
  await expect(repository.read('a')).rejects.toMatchObject({ kind: 'conflict' });
});

test('a repository whose directory is no longer mounted is unavailable, never missing', async () => {
  const directory = await temporaryDirectory();
  const storage = await openDirectory(directory.path, { url: 'file:///x', isShared: isSharedFolder });
  const { repository } = await createRepository(storage, atThree);

  await rename(directory.path, `${directory.path}-away`);
  await mkdir(directory.path);

  await expect(repository.read('a')).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(repository.readJson('a', note)).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(repository.writeJson('a', note, { note: '' })).rejects.toMatchObject({ kind: 'unavailable' });
  await rm(`${directory.path}-away`, { recursive: true });
  await directory.destroy();
});

test('a JSON object is written once, read back, and damaged when it is cut', async () => {
  const { repository, objects } = await memoryRepository();
  await repository.writeJson('n', note, { note: 'first' });

  await expect(repository.writeJson('n', note, { note: 'first' })).rejects.toMatchObject({ kind: 'conflict' });
  expect(await repository.readJson('n', note)).toEqual({ note: 'first' });
  expect(await text(await repository.read('n'))).toBe('{\n  "note": "first"\n}\n');

  objects.set('n', Buffer.from('{"note":"fi'));
  await expect(repository.readJson('n', note)).rejects.toMatchObject({ kind: 'damaged' });
});
