import fc from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { noEncryption, type Encryption } from '../../src/core/encryption.ts';
import { isFailure } from '../../src/core/failure.ts';
import type { FileSet } from '../../src/core/record.ts';
import { parseWalName } from '../../src/core/wal-name.ts';
import { proveFileSetOpens, readFileSet, storeFileSet } from '../../src/repository/file-sets.ts';
import { proveOpens, readParts, storeParts } from '../../src/repository/parts.ts';
import { createRepository } from '../../src/repository/repository.ts';
import { listWal, readWal, sealAt, storeWal, verifyWal, walKeyIn } from '../../src/repository/wal-store.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import { all, bodyOf, bytes, noise } from '../storage/bytes.ts';
import { atThree, memoryRepository, type MemoryRepository } from './memory-repository.ts';

const [key, other] = [newAgeKey(), newAgeKey()];
const place = { systemIdentifier: '7300000000000000001', incarnation: 1 };
const name = parseWalName('000000010000000000000003');
const plain = noise(1024 * 1024);
const set: FileSet = {
  format: 1,
  id: 'x',
  model: 'm',
  application: 'a',
  unit: 'u',
  takenAt: atThree,
  digest: '0'.repeat(64),
  files: [],
  missing: [],
};
const magic = 'age-encryption.org/v1\n';

let folder: string;
let path: string;
let memory: MemoryRepository;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lb-encrypted-'));
  path = join(folder, 'segment');
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  memory = await memoryRepository(encryptionFor([key]));
  await writeFile(path, plain);
});

function objectAt(key_: string): Buffer {
  return Buffer.from(memory.objects.get(key_) ?? []);
}

test('who only stores a segment says again and again that it is stored, and has nothing that opens it', async () => {
  const { repository } = memory;
  const at = walKeyIn(repository, place, name.name);

  expect(await storeWal(repository, place, name, path, 1)).toBe('stored');
  const stored = objectAt(at);
  expect(await storeWal(repository, place, name, path, 9)).toBe('already-stored');

  expect(at.endsWith('.zst.age')).toBe(true);
  expect(objectAt(at).equals(stored)).toBe(true);
  expect(stored.subarray(0, magic.length).toString()).toBe(magic);
  expect(await all(listWal(repository, place))).toEqual([name.name]);
  expect(await sealAt(repository, at)).toMatchObject({ length: plain.byteLength });
  expect(await verifyWal(repository, at)).toBe('compared');
  await expect(bytes(readWal(repository, at))).rejects.toMatchObject({ kind: 'refused' });
  const reader = await memory.openWith(encryptionFor([], [key]));
  expect((await bytes(readWal(reader, at))).equals(plain)).toBe(true);
  expect(await verifyWal(reader, at)).toBe('opened');
});

test('after a change of recipients new objects are for the new one, old ones stay as they are, and both identities read all', async () => {
  const later = parseWalName('000000010000000000000004');
  await storeWal(memory.repository, place, name, path, 1);
  const old = objectAt(walKeyIn(memory.repository, place, name.name));
  const changed = await memory.openWith(encryptionFor([other]));
  await storeWal(changed, place, later, path, 1);
  expect(await storeWal(changed, place, name, path, 1)).toBe('already-stored');
  expect(objectAt(walKeyIn(changed, place, name.name)).equals(old)).toBe(true);

  const both = await memory.openWith(encryptionFor([other], [other, key]));
  for (const each of [name, later])
    expect((await bytes(readWal(both, walKeyIn(both, place, each.name)))).equals(plain)).toBe(true);
  const alone = await memory.openWith(encryptionFor([other], [other]));
  expect((await bytes(readWal(alone, walKeyIn(alone, place, later.name)))).equals(plain)).toBe(true);
  await expect(bytes(readWal(alone, walKeyIn(alone, place, name.name)))).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining(`age1…${key.fingerprint}`),
  });
});

test('the same name with other bytes is a conflict, without any key', async () => {
  await storeWal(memory.repository, place, name, path, 1);
  await writeFile(path, noise(plain.byteLength, 2));

  await expect(storeWal(memory.repository, place, name, path, 1)).rejects.toMatchObject({ kind: 'conflict' });
});

test.each<[string, (whole: Buffer) => Buffer]>([
  ['cut behind its header', (whole) => whole.subarray(0, -10)],
  ['cut in its header', (whole) => whole.subarray(0, 60)],
  ['empty', () => Buffer.alloc(0)],
  ['changed behind its header', (whole) => Buffer.concat([whole.subarray(0, -1), Buffer.from([1])])],
])('an object in the way that is %s is damaged, without any key, and is no success', async (_name, damage) => {
  await storeWal(memory.repository, place, name, path, 1);
  const at = walKeyIn(memory.repository, place, name.name);
  memory.objects.set(at, damage(objectAt(at)));

  await expect(storeWal(memory.repository, place, name, path, 1)).rejects.toMatchObject({ kind: 'damaged' });
  await expect(verifyWal(memory.repository, at)).rejects.toMatchObject({ kind: 'damaged' });
});

test('a history is stored for everybody to read, but not where nothing may be stored', async () => {
  const history = parseWalName('00000002.history');
  await writeFile(path, '1\t0/512345\tno recovery target specified\n');
  const stranger = await memory.openWith(noEncryption);

  await expect(storeWal(stranger, place, history, path, 1)).rejects.toMatchObject({ kind: 'refused' });
  await storeWal(memory.repository, place, history, path, 1);

  expect((await bytes(readWal(stranger, walKeyIn(stranger, place, history.name)))).toString()).toContain('0/512345');
});

test('a stream in parts of any size is one age file, which comes back for who has the identity', async () => {
  const reader = await memory.openWith(encryptionFor([], [key]));
  let count = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 200_000 }),
      fc.integer({ min: 700, max: 90_000 }),
      async (length, size) => {
        count += 1;
        const prefix = `b${count}/`;
        const stream = noise(length);
        const parts = await storeParts(memory.repository, prefix, 'base.tar.zst', bodyOf(stream), size);

        expect(parts.map((part) => part.name)[0]).toBe('base.tar.zst.age.00001');
        expect((await bytes(readParts(reader, prefix, parts))).equals(stream)).toBe(true);
      },
    ),
    { numRuns: 25 },
  );
});

test('whether an identity opens a backup and a file set is known from their beginning', async () => {
  const parts = await storeParts(memory.repository, 'b/', 'base.tar.zst', bodyOf(noise(500_000)), 200_000);
  await storeFileSet(memory.repository, set, () => bodyOf(noise(1000)), 1);
  memory.objects.delete('b/base.tar.zst.age.00002');
  const prove = async (encryption: Encryption) => {
    const reader = await memory.openWith(encryption);
    await proveOpens(reader, 'b/', parts);
    await proveFileSetOpens(reader, set);
    return (await bytes(readFileSet(reader, set))).equals(noise(1000));
  };

  expect(await prove(encryptionFor([], [other, key]))).toBe(true);
  await expect(prove(encryptionFor([], [other]))).rejects.toMatchObject({ kind: 'refused' });
  await expect(prove(noEncryption)).rejects.toMatchObject({ kind: 'refused' });
});

test('nothing is made for a recipient that the identity at hand does not open and nobody has confirmed', async () => {
  const destination = new MemoryDestination();
  const unproven = { ...encryptionFor([key], [other]), confirmed: [] };

  await expect(createRepository(destination.open(), atThree, unproven)).rejects.toMatchObject({
    kind: 'settings',
    hint: expect.stringContaining(key.fingerprint),
  });

  expect(destination.objects.size).toBe(0);
  const proven = { ...encryptionFor([key], [key]), confirmed: [] };
  expect((await createRepository(destination.open(), atThree, proven)).created).toBe(true);
});

test('what the settings want is what the repository is, or nothing is stored there', async () => {
  const clear = await memoryRepository();
  const before = clear.objects.size;
  const wanting = await clear.openWith(encryptionFor([key]));
  const lacking = await memory.openWith(encryptionFor([], [key]));

  for (const repository of [wanting, lacking]) {
    for (const attempt of [
      async () => await storeWal(repository, place, name, path, 1),
      async () => await storeParts(repository, 'b/', 'base', bodyOf('x'), 10),
      async () => await storeFileSet(repository, set, () => bodyOf('x'), 1),
    ]) {
      const error: unknown = await attempt().catch((reason: unknown) => reason);
      expect(isFailure(error, 'refused')).toBe(true);
    }
  }
  expect(clear.objects.size).toBe(before);
  expect([...memory.objects.keys()].toSorted()).toEqual(['README.txt', 'repository.json']);
});
