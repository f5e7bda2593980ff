import { expect, test } from 'vitest';
import { z } from 'zod';
import {
  claimIncarnation,
  listClusters,
  listIncarnations,
  nextIncarnation,
} from '../../src/repository/incarnations.ts';
import { isSharedFolder, safe } from '../../src/repository/layout.ts';
import { appendRecord, newestRecord, readRecords } from '../../src/repository/records.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { openDirectory } from '../../src/storage/directory.ts';
import { bodyOf } from '../storage/bytes.ts';
import { temporaryDirectory } from '../storage/temporary-directory.ts';
import fc from 'fast-check';
import { memoryRepository, atThree } from './memory-repository.ts';

const schema = z.object({ by: z.string() });

test('records are numbered from 1, read in the order of their numbers, and the newest is the last', async () => {
  const { repository } = await memoryRepository();
  expect(await newestRecord(repository, 'r/', schema)).toBeUndefined();
  expect(await readRecords(repository, 'r/', schema)).toEqual([]);

  for (let by = 1; by <= 11; by += 1) expect(await appendRecord(repository, 'r/', schema, { by: String(by) })).toBe(by);

  expect((await readRecords(repository, 'r/', schema)).map(({ value }) => value?.by)).toEqual(
    Array.from({ length: 11 }, (_, index) => String(index + 1)),
  );
  expect(await newestRecord(repository, 'r/', schema)).toEqual({
    number: 11,
    key: 'r/00000011.json',
    value: { by: '11' },
  });
});

test('those who append at once, in a real directory, all get a number of their own', async () => {
  const directory = await temporaryDirectory();
  const open = async () => await openDirectory(directory.path, { url: 'file:///x', isShared: isSharedFolder });
  const repositories = await Promise.all(
    [1, 2, 3].map(async () => (await createRepository(await open(), atThree)).repository),
  );

  const numbers = await Promise.all(
    repositories.flatMap((each, who) =>
      [1, 2, 3].map(async () => await appendRecord(each, 'r/', schema, { by: String(who) })),
    ),
  );

  expect(numbers.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await directory.destroy();
});

test('a record that cannot be read stands as undefined in its place; one that cannot be asked for is an error', async () => {
  const { repository, objects, open } = await memoryRepository();
  for (const by of ['a', 'b', 'c']) await appendRecord(repository, 'r/', schema, { by });
  objects.set('r/00000002.json', Buffer.from('{"by"'));

  expect((await readRecords(repository, 'r/', schema)).map(({ value }) => value?.by)).toEqual(['a', undefined, 'c']);
  objects.set('r/00000003.json', Buffer.from('{"to":"c"}'));
  expect(await newestRecord(repository, 'r/', schema)).toMatchObject({ number: 3, value: undefined });

  for (const on of ['folders', 'get'] as const) {
    const faulty = await open({ on, key: /^r\//, do: 'fail-before' });
    await expect(newestRecord(faulty, 'r/', schema)).rejects.toMatchObject({ kind: 'unavailable' });
  }
});

test('what is no record of ours does not count', async () => {
  const { repository } = await memoryRepository();
  for (const name of ['README', '99999999999999999999.json', '7.json', '00000009.txt', 'x/00000009.json']) {
    await repository.storage.put(`r/${name}`, bodyOf('{}'));
  }

  expect(await appendRecord(repository, 'r/', schema, { by: 'a' })).toBe(1);
});

const owner = (ownerId: string) => ({
  format: 1 as const,
  ownerId,
  model: 'm',
  application: 'host',
  unit: `unit-${ownerId}`,
  since: atThree,
  parent: null,
});

test('of two that claim an incarnation at once one gets it, and its repeated claim succeeds', async () => {
  const directory = await temporaryDirectory();
  const open = async () => await openDirectory(directory.path, { url: 'file:///x', isShared: isSharedFolder });
  const claim = async (id: string) =>
    await claimIncarnation((await createRepository(await open(), atThree)).repository, '73', 2, owner(id));

  const settled = await Promise.allSettled([claim('a'), claim('b')]);
  const winner = settled[0].status === 'fulfilled' ? 'a' : 'b';
  const loser = winner === 'a' ? 'b' : 'a';

  expect(settled.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  expect((await claim(winner)).owner.ownerId).toBe(winner);
  await expect(claim(loser)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining(`unit-${winner}`),
  });
  await directory.destroy();
});

test('incarnations are listed oldest first, 10 after 9, and an unreadable owner is damaged and not nobody', async () => {
  const { repository, objects } = await memoryRepository();
  for (const number of [10, 9, 1]) await claimIncarnation(repository, '73', number, owner(String(number)));
  await repository.storage.put('clusters/73/12/wal/x', bodyOf(''));

  const found = await listIncarnations(repository, '73');

  expect(found.map(({ number }) => number)).toEqual([1, 9, 10]);
  expect([nextIncarnation(found), nextIncarnation([])]).toEqual([11, 1]);
  expect(await listClusters(repository)).toEqual(['73']);
  objects.set('clusters/73/9/owner.json', Buffer.from('{'));
  await expect(listIncarnations(repository, '73')).rejects.toMatchObject({ kind: 'damaged' });
  await expect(claimIncarnation(repository, '73', 9, owner('9'))).rejects.toMatchObject({ kind: 'damaged' });
});

test('any name becomes a part of a key of its own', () => {
  const unit = fc.oneof(fc.string({ minLength: 1 }), fc.string({ unit: 'binary', minLength: 1 }));
  fc.assert(
    fc.property(unit, unit, (a, b) => {
      expect(safe(a)).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(safe(a) === safe(b)).toBe(a === b);
    }),
  );
});

test('folders of several writers are shared, an incarnation is not', () => {
  const shared = ['clusters', 'clusters/73', 'clusters/73/1/guests', 'clusters/73/1/guests/m/u/j', 'files', 'files/m'];
  const own = [
    '',
    'clusters/73/1',
    'clusters/73/1/wal',
    'clusters/73/1/wal/guests',
    'clusters/73/1/guestsx',
    'x/files',
  ];

  expect([...shared, ...own].filter((folder) => isSharedFolder(folder))).toEqual(shared);
});
