import { createHash } from 'node:crypto';
import { ownerSchema, ownerText } from '../core/incarnation.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { parseJson } from '../system/files.ts';
import { folderOf } from './copy-order.ts';
import type { Repository } from './repository.ts';
import { sealedName } from './copy-check.ts';
import { sealRoom, type Seal } from './seal.ts';
import { sealOfObject } from './stored-form.ts';
import type { Storage } from '../storage/storage.ts';

/** Both sides of a copy. The copy is a storage only: it is no repository before its end. */
export interface Sides {
  readonly original: Repository;
  readonly copy: Storage;
}

/** Far above any record of a growing row, or of an owner. */
const smallLimit = 1024 * 1024;

/**
 * Fails with `conflict` unless an object of the copy is the one of the original: the same stored bytes, or where both say so
 * of themselves the same plain bytes (another level of compression makes other stored ones).
 */
export async function proveSame({ original, copy }: Sides, key: string): Promise<void> {
  if (sealedName.test(key)) {
    const beginning = { start: 0, end: sealRoom };
    const one = await sealIn(await original.read(key, beginning), key);
    const other = await sealIn(await copy.get(key, beginning), key);
    if (one.length === other.length && one.sha256 === other.sha256) return;
  } else if ((await digestOf(await original.read(key))) === (await digestOf(await copy.get(key)))) return;
  throw new Failure('conflict', `${copy.url}/${key} holds other bytes than ${original.storage.url}/${key}`, {
    hint: 'Two have written under one name: compare both before anything is removed. Nothing was overwritten.',
  });
}

async function sealIn(beginning: AsyncIterable<Uint8Array>, key: string): Promise<Seal> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of beginning) chunks.push(chunk);
  return sealOfObject(Buffer.concat(chunks), key);
}

async function digestOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

/** The bytes of a small object; `undefined` where it is positively not there. */
export async function smallObject(asked: Promise<AsyncIterable<Uint8Array>>, key: string): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of await asked) {
      length += chunk.byteLength;
      if (length > smallLimit) throw new Failure('damaged', `the object ${key} is larger than any that we write there`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (isFailure(error, 'missing')) return undefined;
    throw error;
  }
  return Buffer.concat(chunks);
}

/** Stores a small object, unless the key is taken; says whether it stored. */
export async function putSmallObject(copy: Storage, key: string, bytes: Buffer): Promise<boolean> {
  try {
    await copy.put(key, once(bytes));
    return true;
  } catch (error) {
    if (isFailure(error, 'conflict')) return false;
    throw error;
  }
}

async function* once(bytes: Buffer): AsyncIterable<Uint8Array> {
  yield bytes;
}

/**
 * Claims in the copy what is claimed in the original. It comes before anything of the incarnation, and by the store's own
 * refusal to overwrite: where somebody else has claimed the number in the copy this fails with `conflict`, and nothing of two
 * owners ever comes to lie in one folder. Says whether it stored the claim.
 */
export async function copyClaim({ original, copy }: Sides, key: string): Promise<boolean> {
  const claim = await smallObject(original.read(key), key);
  if (claim === undefined) return false; // Retired since it was listed, or never finished.
  const owner = parseJson(claim.toString('utf8'), ownerSchema, `${original.storage.url}/${key}`);
  if (await putSmallObject(copy, key, claim)) return true;
  const there = await smallObject(copy.get(key), key);
  const other = there === undefined ? undefined : parseJson(there.toString('utf8'), ownerSchema, `${copy.url}/${key}`);
  if (other?.ownerId === owner.ownerId) return false;
  const whose = other === undefined ? 'nobody any more' : ownerText(other);
  throw new Failure(
    'conflict',
    `${folderOf(key)} belongs to ${ownerText(owner)} at ${original.storage.url} and to ${whose} at ${copy.url}`,
    {
      hint: 'Both went on by themselves after an earlier copy. Nothing was copied: choose another, empty destination.',
    },
  );
}

/**
 * Brings a record of a growing row over under its own number, or where that is taken by another one under the next free
 * number, unless the copy has the very same record already. Says whether it stored.
 */
export async function copyAppended({ original, copy }: Sides, key: string): Promise<boolean> {
  const record = await smallObject(original.read(key), key);
  if (record === undefined) return false;
  if (await putSmallObject(copy, key, record)) return true;
  const folder = folderOf(key);
  const isThere = async (each: string) => (await smallObject(copy.get(each), each))?.equals(record) === true;
  if (await isThere(key)) return false;
  // A witness says what is stored where it lies, and the copy's own is the newer one.
  if (/\/witness\/[^/]+$/.test(key)) return false;
  const names = (await copy.folders(folder)).filter((name) => /^\d{8}\.json$/.test(name));
  for (const name of names) if (await isThere(folder + name)) return false;
  let number = Number(names.at(-1)?.slice(0, 8) ?? 0);
  do number += 1;
  while (!(await putSmallObject(copy, `${folder}${String(number).padStart(8, '0')}.json`, record)));
  return true;
}
