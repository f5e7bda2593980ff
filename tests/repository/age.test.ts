import fc from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { makeKeys } from '../../src/repository/keys.ts';
import { compressedAs, sealOf } from '../../src/repository/seal.ts';
import {
  compareEncrypted,
  encryptedForm,
  openedForm,
  plainForm,
  storedChunks,
  storedForm,
} from '../../src/repository/stored-form.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import { programBytes } from '../setup/program-bytes.ts';
import { bodyOf, bytes, noise } from '../storage/bytes.ts';

const [one, two, other] = [newAgeKey(), newAgeKey(), newAgeKey()];
const keysOf = (has: readonly (typeof one)[]) =>
  makeKeys({ encryption: 'age' }, 'file:///x', encryptionFor([one, two], has));
const keys = keysOf([one]);
const object = 'wal/x.zst.age';
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lb-age-'));
  for (const [name, { file }] of Object.entries({ one, two, other })) await writeFile(join(folder, name), file);
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

function cut(plain: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  const count = Math.ceil(plain.byteLength / size);
  return bodyOf(...Array.from({ length: count }, (_, at) => plain.subarray(at * size, (at + 1) * size)));
}

async function age(args: readonly string[], input: Uint8Array): Promise<Buffer> {
  return await programBytes('age', args, input);
}

async function sealedObject(plain: Uint8Array): Promise<Buffer> {
  const seal = await sealOf(bodyOf(plain));
  return await bytes(storedForm(keys, seal, compressedAs(bodyOf(plain), seal, 1)));
}

const edges = [0, 1, 65_535, 65_536, 65_537, 131_072, 262_144, 262_145, 1_000_000];

test.each(edges)('age -d reads %i bytes of ours with either identity, and we read its own', async (length) => {
  const plain = noise(length);
  const ours = await bytes(encryptedForm(keys, cut(plain, 70_000)));
  const theirs = await age(['-r', one.recipient, '-r', other.recipient], plain);

  for (const name of ['one', 'two'])
    expect((await age(['-d', '-i', join(folder, name)], ours)).equals(plain)).toBe(true);
  expect((await bytes(openedForm(keys, cut(theirs, 9_999), object))).equals(plain)).toBe(true);
});

test('any length around whole chunks comes back, in any pieces', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: -20, max: 20 }),
      fc.integer({ min: 500, max: 400_000 }),
      async (chunks, more, size) => {
        const plain = noise(Math.max(0, chunks * 65_536 + more));
        const stored = await bytes(encryptedForm(keys, cut(plain, size)));

        expect((await bytes(openedForm(keys, cut(stored, size + 1), object))).equals(plain)).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
});

test('age -d and zstd -d read a sealed object', async () => {
  const plain = noise(300_000);
  const frame = await age(['-d', '-i', join(folder, 'two')], await sealedObject(plain));

  expect((await programBytes('zstd', ['-dcq'], frame)).equals(plain)).toBe(true);
});

test('an object cut at any byte, or with any byte changed, is an error', async () => {
  const stored = await sealedObject(noise(400));
  for (let at = 0; at < stored.byteLength; at += 1) {
    const changed = Buffer.from(stored);
    changed[at] = (changed[at] ?? 0) ^ 1;
    for (const torn of [stored.subarray(0, at), changed]) {
      const error = await bytes(plainForm(keys, bodyOf(torn), object)).catch((reason: unknown) => reason);
      expect(isFailure(error, 'damaged', 'refused'), `byte ${at}`).toBe(true);
    }
  }
});

test.each([65_536, 131_072])(
  'a payload cut after whole chunks of %i bytes, or with more behind it, is damaged',
  async (length) => {
    const stored = await bytes(encryptedForm(keys, bodyOf(noise(length + 1))));
    for (const torn of [
      stored.subarray(0, -17),
      Buffer.concat([stored, Buffer.alloc(16)]),
      Buffer.concat([stored, stored]),
    ]) {
      await expect(bytes(openedForm(keys, bodyOf(torn), object))).rejects.toMatchObject({ kind: 'damaged' });
    }
  },
);

test('another identity, and none, are refused in words that say which is wanted', async () => {
  const stored = await sealedObject(noise(10));

  await expect(bytes(plainForm(keysOf([other]), bodyOf(stored), object))).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringMatching(`${one.fingerprint}.*${two.fingerprint}.*${other.fingerprint}`),
  });
  await expect(bytes(plainForm(keysOf([]), bodyOf(stored), object))).rejects.toMatchObject({ kind: 'refused' });
});

test('what was made in memory is compared without a key: a changed byte is damaged', async () => {
  const plain = noise(1000);
  const seal = await sealOf(bodyOf(plain));
  const { chunks } = await storedChunks(keys, { seal, chunks: [await bytes(compressedAs(bodyOf(plain), seal, 1))] });
  const stored = Buffer.concat(chunks);
  const changed = Buffer.from(stored);
  changed[stored.byteLength - 1] = (changed.at(-1) ?? 0) ^ 1;

  await compareEncrypted(bodyOf(stored), object);
  await expect(compareEncrypted(bodyOf(changed), object)).rejects.toMatchObject({ kind: 'damaged' });
});
