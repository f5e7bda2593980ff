import { stat } from 'node:fs/promises';
import { Failure, isFailure } from '../core/failure.ts';
import { parseWalName, type WalName } from '../core/wal-name.ts';
import { errorCode, readFileBytes, withFile } from '../system/files.ts';
import { plainKeys, type Keys } from './keys.ts';
import { countSweeps, currentKey, openCurrent } from './generations.ts';
import { layout, walNameOfKey, type Place } from './layout.ts';
import type { Repository } from './repository.ts';
import { putOnce } from './small-object.ts';
import {
  compressedAs,
  compressInOnePass,
  isSameSeal,
  readToEnd,
  sealOf,
  sealRoom,
  type ReadInto,
  type Seal,
} from './seal.ts';
import { ageSuffix, compareEncrypted, plainForm, readObjectSeal, storedChunks, storedForm } from './stored-form.ts';

/** How a WAL file came to be stored: by this call, or by an earlier one with the same bytes. */
export type Stored = 'stored' | 'already-stored';

/**
 * Stores one WAL file, once.
 *
 * The same name with the same plain bytes is a success (PostgreSQL repeats itself after a crash); with other bytes it is a
 * `conflict`, and nothing was overwritten. Returns only when the destination has made the bytes durable.
 * Source: PostgreSQL 15 manual, 26.3.1; facts on re-archiving in PostgreSQL commit 3cabe45.
 */
export async function storeWal(
  repository: Repository,
  place: Place,
  name: WalName,
  path: string,
  level: number,
): Promise<Stored> {
  const { keys } = repository;
  // What was made in memory can be compared later without a key.
  if (keys.isEncrypted && name.kind !== 'history' && (await sizeOf(path)) <= onePassLimit) {
    return await withFile(
      path,
      async (read) => await storeWalInOnePass(repository, place, name, { read, length: await sizeOf(path) }, level),
    );
  }
  const seal = await sealOf(readFileBytes(path));
  return await storeSealed(repository, keyOf(repository.keys, place, name), name.name, {
    seal,
    body: () => storedForm(keysFor(repository, name), seal, compressedAs(readFileBytes(path), seal, level)),
  });
}

/** What files up to this size compress to fits into memory. */
export const onePassLimit = 64 * 1024 * 1024;

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    throw new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  }
}

/** Bytes that are read once, and how many they have to be. */
export interface ReadOnce {
  readonly read: ReadInto;
  readonly length: number;
}

/**
 * The same for who reads the file once and has room in memory for what it compresses to. An error of the reading is passed on
 * and stores nothing; bytes of another length than told are `damaged`.
 */
export async function storeWalInOnePass(
  repository: Repository,
  place: Place,
  name: WalName,
  source: ReadOnce,
  level: number,
): Promise<Stored> {
  const at = { key: keyOf(repository.keys, place, name), what: name.name };
  return await storeInOnePass(repository, keysFor(repository, name), at, source, level);
}

/** The same under a key of one's own; `what` names it to people. */
export async function storeInOnePass(
  repository: Repository,
  keys: Keys,
  { key, what }: { readonly key: string; readonly what: string },
  { read, length }: ReadOnce,
  level: number,
): Promise<Stored> {
  const compressed = await compressInOnePass(read, length, level);
  const { chunks, release } = await storedChunks(keys, compressed);
  const body = async function* () {
    yield* chunks;
  };
  const stored = await storeSealed(repository, key, what, { seal: compressed.seal, body });
  // After any other answer somebody may still be reading them.
  if (stored === 'stored') release();
  return stored;
}

/** Histories hold no secret, and whoever lists or prunes has to read them: they are never encrypted. */
function keysFor({ keys }: Repository, { kind }: WalName): Keys {
  if (kind !== 'history') return keys;
  keys.recipients(); // Where nothing may be stored, that must not be the first thing.
  return plainKeys;
}

/** The key of a WAL file in a repository. */
export function walKeyIn({ keys }: Pick<Repository, 'keys'>, place: Place, name: string): string {
  return keyOf(keys, place, parseWalName(name));
}

function keyOf({ isEncrypted }: Keys, place: Place, name: WalName): string {
  return layout.walFile(place, name) + (isEncrypted && name.kind !== 'history' ? ageSuffix : '');
}

/** Stores a sealed object under its key, once, as `storeWal` says; `what` names it to people. */
async function storeSealed(
  repository: Repository,
  key: string,
  what: string,
  { seal, body }: { readonly seal: Seal; readonly body: () => AsyncIterable<Uint8Array> },
): Promise<Stored> {
  const isNew = await putOnce(repository.storage, key, body());
  const current = await countingKey(repository, key);
  if (isNew && current === key) return 'stored';
  const stored = await existing(current, exactSeal(repository, current));
  if (!isSameSeal(stored, seal)) {
    if (isNew) await repository.storage.remove(key);
    throw new Failure('conflict', `${what} is stored already with other bytes`, {
      hint: 'Two servers archive into one incarnation, or this one was set back: compare them before anything is removed.',
    });
  }
  // The seal in front is only the claim; what follows it must be those bytes too, or the archive holds nothing.
  // Who only stores has no key to open it with.
  await existing(
    current,
    key.endsWith(ageSuffix) ? compareStored(repository, current) : readToEnd(readWal(repository, key)),
  );
  if (isNew) await repository.storage.remove(key);
  return 'already-stored';
}

/**
 * The key of the object that counts, after one was put or found under a key. That a key was free proves nothing where objects
 * are encrypted anew: the segment may be stored in a later generation, and this one's name free since. While it lies
 * at the second of two destinations only, and the first is away, the second says so: who brings it over asks again.
 */
async function countingKey(repository: Repository, key: string): Promise<string> {
  if (!key.endsWith(ageSuffix)) return key;
  const current = await currentKey(repository, key);
  if (current !== undefined) return current;
  throw new Failure('unavailable', `${key} was there a moment ago, and ${repository.storage.url} lists it no more`, {
    hint: 'The next try finds out.',
  });
}

/** Damage of an object that is in the way of a new one: it is not overwritten, so somebody must decide. */
async function existing<T>(key: string, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!isFailure(error, 'damaged')) throw error;
    throw new Failure('damaged', `${error.message}; it is in the way of the same file, whole`, {
      hint: `Look for disk errors at the destination, move ${key} aside there, and the next try stores it.`,
      cause: error,
    });
  }
}

/** What a stored WAL file says its plain bytes are, without reading them. */
export async function sealAt(repository: Repository, key: string): Promise<Seal> {
  const found = await openCurrent(repository, key, { start: 0, end: sealRoom });
  return await readObjectSeal(found.stored, found.key);
}

async function exactSeal(repository: Repository, key: string): Promise<Seal> {
  return await readObjectSeal(await repository.read(key, { start: 0, end: sealRoom }), key);
}

/** The plain bytes of a stored WAL file; the stream fails with `damaged` unless they are those that were stored. */
export async function* readWal(repository: Repository, key: string): AsyncIterable<Uint8Array> {
  const found = await openCurrent(repository, key);
  yield* plainForm(repository.keys, found.stored, found.key);
}

async function compareStored(repository: Repository, key: string): Promise<void> {
  await compareEncrypted(await repository.read(key), key);
}

/**
 * Reads a stored WAL file to its end and compares it with what was stored: its plain bytes, or where nothing is at hand to open
 * it, its encrypted ones. Fails with `damaged`.
 */
export async function verifyWal(repository: Repository, key: string): Promise<'opened' | 'compared'> {
  if (key.endsWith(ageSuffix) && !repository.keys.hasIdentity) {
    const found = await openCurrent(repository, key);
    await compareEncrypted(found.stored, found.key);
    return 'compared';
  }
  await readToEnd(readWal(repository, key));
  return 'opened';
}

/** The names of all WAL files of an incarnation, in the order of their keys, each once. */
export async function* listWal(repository: Repository, place: Place): AsyncIterable<string> {
  const folder = layout.wal(place);
  for (;;) {
    const sweeps = await countWalSweeps(repository, place);
    const names = new Set<string>();
    for await (const { key } of repository.storage.list(folder)) {
      const name = walNameOfKey(key);
      if (name !== undefined) names.add(name);
    }
    // In the time of a sweep a segment can be missed: its next generation came behind the listing's back.
    if ((await countWalSweeps(repository, place)) !== sweeps) continue;
    yield* names;
    return;
  }
}

/** How many sweeps of earlier generations were begun in an incarnation: a listing with one in its time may miss something. */
export async function countWalSweeps(repository: Repository, place: Place): Promise<number> {
  return repository.keys.isEncrypted ? await countSweeps(repository, layout.wal(place)) : 0;
}

/** The names of the WAL files in a folder of the repository, as one listing shows them. */
export async function walNamesIn({ storage }: Repository, folder: string): Promise<ReadonlySet<string>> {
  return new Set((await storage.folders(folder)).flatMap((each) => walNameOfKey(`/${each}`) ?? []));
}

/** The keys and names of all objects that hold WAL of an incarnation, in the order of their keys. */
export async function* listWalObjects(
  repository: Repository,
  place: Place,
): AsyncIterable<{ readonly key: string; readonly name: string }> {
  for await (const { key } of repository.storage.list(layout.wal(place))) {
    const name = walNameOfKey(key);
    if (name !== undefined) yield { key, name };
  }
}
