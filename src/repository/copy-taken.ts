import { ownerSchema, ownerText } from '../core/incarnation.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { parseJson } from '../system/files.ts';
import { folderOf } from './copy-order.ts';
import type { Repository } from './repository.ts';
import { sealedName } from './copy-check.ts';
import { isSameSeal, sealOf, sealRoom } from './seal.ts';
import { collect, putUnlessThere } from './small-object.ts';
import { readObjectSeal } from './stored-form.ts';
import type { Storage } from '../storage/storage.ts';

/** Both sides of a copy. The copy is a storage only: it is no repository before its end. */
export interface Sides {
  readonly original: Repository;
  readonly copy: Storage;
}

/** What of both sides it takes to bring one object over. */
export interface ObjectSides {
  readonly original: Pick<Repository, 'read'> & { readonly storage: Pick<Storage, 'url'> };
  readonly copy: Storage;
}

/** Far above any record of a growing row, or of an owner. */
const smallLimit = 1024 * 1024;

/**
 * Fails with `conflict` unless an object of the copy is the one of the original: the same stored bytes, or where both say so
 * of themselves the same plain bytes (another level of compression makes other stored ones). `there` is its key in the copy,
 * where that is another one.
 */
export async function proveSame({ original, copy }: ObjectSides, key: string, there = key): Promise<void> {
  if (sealedName.test(key)) {
    const beginning = { start: 0, end: sealRoom };
    const one = await readObjectSeal(await original.read(key, beginning), key);
    const other = await readObjectSeal(await copy.get(there, beginning), there);
    if (isSameSeal(one, other)) return;
  } else if (isSameSeal(await sealOf(await original.read(key)), await sealOf(await copy.get(there)))) return;
  throw new Failure('conflict', `${copy.url}/${there} holds other bytes than ${original.storage.url}/${key}`, {
    hint: 'Two have written under one name: compare both before anything is removed. Nothing was overwritten.',
  });
}

/** The bytes of a small object; `undefined` where it is positively not there. */
export async function smallObject(asked: Promise<AsyncIterable<Uint8Array>>, key: string): Promise<Buffer | undefined> {
  try {
    return await collect(await asked, key, smallLimit);
  } catch (error) {
    if (isFailure(error, 'missing')) return undefined;
    throw error;
  }
}

/**
 * Claims in the copy what is claimed in the original. It comes before anything of the incarnation, and by the store's own
 * refusal to overwrite: where somebody else has claimed the number in the copy this fails with `conflict`, and nothing of two
 * owners ever comes to lie in one folder. Says whether it stored the claim.
 */
export async function copyClaim({ original, copy }: ObjectSides, key: string): Promise<boolean> {
  const claim = await smallObject(original.read(key), key);
  if (claim === undefined) return false; // Retired since it was listed, or never finished.
  const owner = parseJson(claim.toString('utf8'), ownerSchema, `${original.storage.url}/${key}`);
  if (await putUnlessThere(copy, key, claim)) return true;
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
export async function copyAppended({ original, copy }: ObjectSides, key: string): Promise<boolean> {
  const record = await smallObject(original.read(key), key);
  if (record === undefined) return false;
  if (await putUnlessThere(copy, key, record)) return true;
  const folder = folderOf(key);
  const isThere = async (each: string) => (await smallObject(copy.get(each), each))?.equals(record) === true;
  if (await isThere(key)) return false;
  // A witness says what is stored where it lies, and the copy's own is the newer one.
  if (/\/witness\/[^/]+$/.test(key)) return false;
  const names = (await copy.folders(folder)).filter((name) => /^\d{8}\.json$/.test(name));
  for (const name of names) if (await isThere(folder + name)) return false;
  let number = Number(names.at(-1)?.slice(0, 8) ?? 0);
  do number += 1;
  while (!(await putUnlessThere(copy, `${folder}${String(number).padStart(8, '0')}.json`, record)));
  return true;
}
