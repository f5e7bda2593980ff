import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readParts, storeParts } from '../../src/repository/parts.ts';
import { bodyOf, bytes, noise } from '../storage/bytes.ts';
import { memoryRepository } from './memory-repository.ts';

test('any stream, cut into parts of any size, concatenates to itself; each part but the last is full', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }),
      fc.integer({ min: 1, max: 60 }),
      async (chunks, partBytes) => {
        const { repository, objects } = await memoryRepository();
        const plain = Buffer.concat(chunks);

        const parts = await storeParts(repository, 'b/', 'base', bodyOf(...chunks), partBytes);

        expect((await bytes(readParts(repository, 'b/', parts))).equals(plain)).toBe(true);
        expect(parts).toHaveLength(Math.max(1, Math.ceil(plain.byteLength / partBytes)));
        expect(parts.slice(0, -1).every(({ sizeBytes }) => sizeBytes === partBytes)).toBe(true);
        const inOrder = [...objects.keys()].filter((key) => key.startsWith('b/')).toSorted();
        expect(inOrder).toEqual(parts.map(({ name }) => `b/${name}`));
      },
    ),
    { numRuns: 60 },
  );
});

test.each<[string, (whole: Uint8Array) => Uint8Array]>([
  ['cut', (whole) => whole.subarray(1)],
  ['longer', (whole) => Buffer.concat([whole, Buffer.from('x')])],
  ['other', (whole) => Buffer.from(whole).fill(1, 3, 5)],
])('a part that is %s is damaged, and named', async (_name, damage) => {
  const { repository, objects } = await memoryRepository();
  const parts = await storeParts(repository, 'b/', 'base', bodyOf(noise(100)), 40);
  objects.set('b/base.00002', damage(objects.get('b/base.00002') ?? new Uint8Array()));

  await expect(bytes(readParts(repository, 'b/', parts))).rejects.toMatchObject({
    kind: 'damaged',
    message: expect.stringContaining('b/base.00002'),
  });
});

test('a part that is gone is missing', async () => {
  const { repository, objects } = await memoryRepository();
  const parts = await storeParts(repository, 'b/', 'base', bodyOf(noise(100)), 40);
  objects.delete('b/base.00003');

  await expect(bytes(readParts(repository, 'b/', parts))).rejects.toMatchObject({ kind: 'missing' });
});

test('a stream whose part cannot be stored is closed, and one that breaks leaves whole parts only', async () => {
  const memory = await memoryRepository();
  let closed = false;
  const stream = async function* () {
    try {
      for (let at = 0; at < 10; at += 1) yield noise(30);
    } finally {
      closed = true;
    }
  };
  const full = await memory.open({ on: 'put', key: /00002/, do: 'fail-before' });

  await expect(storeParts(full, 'b/', 'base', stream(), 40)).rejects.toMatchObject({ kind: 'unavailable' });
  expect(closed).toBe(true);

  const error = new Error('the server ended the stream');
  const broken = async function* () {
    yield noise(50);
    throw error;
  };
  await expect(storeParts(memory.repository, 'c/', 'base', broken(), 40)).rejects.toBe(error);
  expect([...memory.objects.keys()].filter((key) => key.startsWith('c/'))).toEqual(['c/base.00001']);
});
