import { beforeEach, expect, test } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { layout } from '../../src/repository/layout.ts';
import { proveWriteOnce } from '../../src/jobs/check-destination.ts';
import { createRepository, openRepository, type Repository } from '../../src/repository/repository.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { faultyStorage } from '../doubles/faulty-storage.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';

const now = new Date('2026-11-24T02:00:00Z');
const place = { systemIdentifier: '7', incarnation: 1 };
let destination: MemoryDestination;

beforeEach(async () => {
  destination = new MemoryDestination();
  await createRepository(destination.open(), now);
});

const prove = async (change: (storage: Storage) => Storage = (storage) => storage): Promise<string> => {
  const repository: Repository = await openRepository(change(destination.open()), undefined);
  return await proveWriteOnce(repository, layout.probes(place), now);
};

test('a destination that keeps its promise is proven and left as it was', async () => {
  const before = [...destination.objects.keys()];
  expect(await prove()).toContain('was refused to overwrite it, and read it back');
  expect([...destination.objects.keys()]).toEqual(before);
});

test('what an interrupted check left an hour ago is swept, what is younger stays', async () => {
  const probe = (milliseconds: number) => `clusters/7/1/probes/${now.getTime() - milliseconds}-aa`;
  destination.objects.set(probe(3_600_001), new Uint8Array());
  destination.objects.set(probe(60_000), new Uint8Array());
  await prove();
  expect([...destination.objects.keys()].filter((key) => key.includes('probes'))).toEqual([probe(60_000)]);
});

test('a destination where the last writer wins is refused', async () => {
  const overwriting = (inner: Storage): Storage => ({
    ...inner,
    put: async (key, body) => {
      destination.objects.delete(key);
      await inner.put(key, body);
    },
  });
  await expect(prove(overwriting)).rejects.toMatchObject({
    kind: 'refused',
    message: 'the destination memory://test let an object be overwritten',
    hint: expect.stringContaining('ext4'),
  });
});

test('a destination that gives back other bytes is damaged', async () => {
  const cut = (inner: Storage) => faultyStorage(inner, [{ on: 'get', key: /probes/, do: 'truncate', afterBytes: 10 }]);
  await expect(prove(cut)).rejects.toMatchObject({ kind: 'damaged', message: expect.stringContaining('other bytes') });
});

test('an unreachable destination is not taken for one that refuses to overwrite', async () => {
  const broken = (inner: Storage) => faultyStorage(inner, [{ on: 'put', key: /probes/, nth: 2, do: 'fail-before' }]);
  await expect(prove(broken)).rejects.toMatchObject({ kind: 'unavailable' });
});

test('where a right is missing the hint holds the user and the line to change', async () => {
  const denied = (inner: Storage): Storage => ({
    ...inner,
    put: async () => {
      throw new Failure('refused', '/srv/backup/x: permission denied', {
        hint: 'This process runs as uid 1, gid 2: give it the right to this path.',
      });
    },
  });
  await expect(prove(denied)).rejects.toMatchObject({
    kind: 'refused',
    hint: expect.stringMatching(/uid 1, gid 2.*chgrp -R \d+ .*chmod 2770/),
  });
});
