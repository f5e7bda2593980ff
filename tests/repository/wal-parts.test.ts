import { beforeEach, describe, expect, test } from 'vitest';
import { noEncryption } from '../../src/core/encryption.ts';
import { segmentNamed } from '../../src/core/wal-name.ts';
import { layout } from '../../src/repository/layout.ts';
import { listParts, readPart, removeParts, storePart } from '../../src/repository/wal-parts.ts';
import { bytes } from '../storage/bytes.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import { mebibyte, segmentBytes } from '../setup/wal-unit.ts';
import { memoryRepository, type MemoryRepository } from './memory-repository.ts';

const place = { systemIdentifier: '7000000000000000001', incarnation: 1 };
const name = segmentNamed(1, 3, mebibyte);
const plain = segmentBytes({ timeline: 1, number: 3 });

const key = newAgeKey();

let memory: MemoryRepository;

async function store(length: number, from: Buffer = plain): Promise<string> {
  let at = 0;
  const read = async (buffer: Uint8Array) => {
    const chunk = from.subarray(at, Math.min(length, at + buffer.byteLength));
    buffer.set(chunk);
    at += chunk.byteLength;
    return await Promise.resolve(chunk.byteLength);
  };
  return await storePart(memory.repository, place, name, { read, length }, 1);
}

async function read(length: number): Promise<Buffer> {
  return await bytes(readPart(memory.repository, place, { name: name.name, length, segmentSize: undefined }));
}

function begun(length: number): Buffer {
  return Buffer.concat([plain.subarray(0, length), Buffer.alloc(mebibyte - length)]);
}

describe.each([
  ['as they are', noEncryption, ''],
  ['encrypted', encryptionFor([key], [key]), '.age'],
])('parts that are stored %s', (_how, encryption, ending) => {
  beforeEach(async () => {
    memory = await memoryRepository(encryption);
  });

  test('a part comes back as a segment with zeros behind it; the same again is already stored, other bytes a conflict', async () => {
    expect(await store(5000)).toBe('stored');
    expect(await store(5000)).toBe('already-stored');
    await expect(store(5000, Buffer.alloc(5000, 'x'))).rejects.toMatchObject({ kind: 'conflict' });

    expect((await read(5000)).equals(begun(5000))).toBe(true);
  });

  test('a part that was superseded is cut out of what took its place', async () => {
    await store(5000);
    await store(9000);
    expect(await listParts(memory.repository, place, name)).toEqual([5000, 9000]);
    await removeParts(memory.repository, place, name, [5000]);

    expect((await read(5000)).equals(begun(5000))).toBe(true);
  });

  test('a part of which nothing that long is stored is missing', async () => {
    await store(5000);

    await expect(read(6000)).rejects.toMatchObject({ kind: 'missing' });
  });

  test('damage behind the wanted bytes fails the reading too', async () => {
    await store(9000);
    const key = layout.walPart(place, name, 9000) + ending;
    memory.objects.set(key, (memory.objects.get(key) ?? Buffer.alloc(0)).subarray(0, -10));

    await expect(read(5000)).rejects.toMatchObject({ kind: 'damaged' });
  });

  test('hold what they say, and nothing else lies beside them', async () => {
    await store(5000);
    const stored = [...memory.objects.keys()].filter((each) => each.includes('/wal/'));
    expect(stored).toEqual([layout.walPart(place, name, 5000) + ending]);
    const first = Buffer.from(memory.objects.get(stored[0] ?? '') ?? []).toString('latin1', 0, 22);
    expect(first === 'age-encryption.org/v1\n').toBe(ending !== '');
  });
});

test('without the identity a part is stored again and swept, and not read', async () => {
  memory = await memoryRepository(encryptionFor([key]));
  expect(await store(5000)).toBe('stored');
  expect(await store(5000)).toBe('already-stored');
  await expect(read(5000)).rejects.toMatchObject({ kind: 'refused' });
  await store(9000);
  await removeParts(memory.repository, place, name, [5000]);
  expect(await listParts(memory.repository, place, name)).toEqual([9000]);
});
