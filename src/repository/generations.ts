import { Failure, isFailure } from '../core/failure.ts';
import { sealedName } from './copy-check.ts';
import { folderOf } from './copy-order.ts';
import { generationName, layout, readGeneration } from './layout.ts';
import type { Repository } from './repository.ts';
import type { Storage } from '../storage/storage.ts';
import { ageSuffix } from './stored-form.ts';

/** Each attempt after the first one answers a sweep that went on in that very moment. */
const attempts = 5;

/**
 * The key of the highest generation of an encrypted object, by the key of its first one; `undefined` when it positively is not
 * stored. A listing is asked each time: where an earlier generation was swept, its name may be taken again by who should not
 * have it, until he finds out himself.
 */
export async function currentKey(repository: Repository, key: string): Promise<string | undefined> {
  let sweepsBefore = 0;
  for (;;) {
    const found = await highestGeneration(repository.storage, key);
    if (found !== undefined) return found;
    // A listing in whose time the next generation came and the one before went may have seen neither.
    const sweeps = await countSweeps(repository, key);
    if (sweeps === sweepsBefore) return undefined;
    sweepsBefore = sweeps;
  }
}

/** The key of the highest generation of an encrypted object that a listing shows, by the key of any; `undefined` where it shows none. */
export async function highestGeneration(storage: Storage, key: string): Promise<string | undefined> {
  return (await generationsOf(storage, key))[0];
}

/** The keys of all generations of an encrypted object that a listing shows, the highest first. */
async function generationsOf(storage: Storage, key: string): Promise<readonly string[]> {
  const folder = folderOf(key);
  const name = key.slice(folder.length);
  const first = readGeneration(name)?.first ?? name;
  const found = (await storage.folders(folder, key)).flatMap((each) => readGeneration(each) ?? []);
  return found
    .filter((each) => each.first === first)
    .sort((a, b) => b.number - a.number)
    .map((each) => folder + generationName(each));
}

/** How many sweeps of earlier generations were begun where an object lies; a listing with none in its time misses nothing. */
export async function countSweeps({ storage }: Repository, key: string): Promise<number> {
  const [, systemIdentifier, incarnation] = /^clusters\/(\d+)\/(\d+)\//.exec(key) ?? [];
  // Elsewhere nobody counts them: whoever sees nothing looks twice.
  if (systemIdentifier === undefined) return 1;
  const place = { systemIdentifier, incarnation: Number(incarnation) };
  return (await storage.folders(layout.sweeps(place))).filter((name) => /^\d{8}\.json$/.test(name)).length;
}

/** An object that is being read, and under which key it was found. */
export interface Found {
  readonly key: string;
  readonly stored: AsyncIterable<Uint8Array>;
}

/** Opens an object, encrypted ones in their highest generation, by the key of the first one. Fails as `Repository.read` does. */
export async function openCurrent(
  repository: Repository,
  key: string,
  range?: { start: number; end: number },
): Promise<Found> {
  if (!key.endsWith(ageSuffix)) return { key, stored: await repository.read(key, range) };
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const current = await currentKey(repository, key);
    try {
      // Where nothing was listed it is the reading that says so: it looks whether the repository is still there.
      return { key: current ?? key, stored: await repository.read(current ?? key, range) };
    } catch (error) {
      if (current === undefined || !isFailure(error, 'missing')) throw error;
    }
  }
  throw new Failure('unavailable', `${key} is encrypted anew all the time`, { hint: 'Try again in a minute.' });
}

/** Removes an encrypted object in every generation, the highest last: it is the one that counts. */
export async function removeGenerations(repository: Repository, key: string): Promise<void> {
  for (const each of (await generationsOf(repository.storage, key)).toReversed()) await repository.storage.remove(each);
}

/** An encrypted object with all generations that a listing shows of it, the highest first. */
export interface Stored {
  /** The key of the first one, there or not. */
  readonly first: string;
  readonly generations: readonly {
    readonly key: string;
    readonly number: number;
    readonly sizeBytes: number;
  }[];
}

/** The encrypted objects of a listing that have a seal, those of a folder together; nothing but a folder is held. */
export async function* byFolder(
  listing: AsyncIterable<{ readonly key: string; readonly sizeBytes: number }>,
): AsyncIterable<readonly Stored[]> {
  let folder: string | undefined;
  let found = new Map<string, { key: string; number: number; sizeBytes: number }[]>();
  for await (const { key, sizeBytes } of listing) {
    if (folderOf(key) !== folder && found.size > 0) yield toStored(found);
    if (folderOf(key) !== folder) found = new Map();
    folder = folderOf(key);
    const generation = readGeneration(key);
    if (generation === undefined || !sealedName.test(key)) continue;
    const known = found.get(generation.first) ?? [];
    found.set(generation.first, [...known, { key, number: generation.number, sizeBytes }]);
  }
  if (found.size > 0) yield toStored(found);
}

function toStored(found: ReadonlyMap<string, Stored['generations']>): readonly Stored[] {
  return [...found].map(([first, generations]) => ({
    first,
    generations: generations.toSorted((a, b) => b.number - a.number),
  }));
}
