import type { Recipient } from '../core/age-key.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { isFor, openFileKey } from './age.ts';
import { headerLimit, isSignedBy, type AgeHeader } from './age-header.ts';
import type { Identity } from './age-keys.ts';
import type { Stored } from './generations.ts';
import { generationName } from './layout.ts';
import type { Repository } from './repository.ts';
import { isSameSeal, sealRoom, type Seal } from './seal.ts';
import { forOthers, proveSealed, readAgeHeader, readObjectSeal } from './stored-form.ts';

/** Whose objects are encrypted to whom from now on, and what opens those that are there. */
export interface Rewrapping {
  readonly repository: Repository;
  readonly recipients: readonly Recipient[];
  readonly identities: readonly Identity[];
}

/** What is to be done with an object: nothing, removing earlier generations, or a new one for other recipients. */
export type Judged = 'done' | 'sweep' | 'renew';

/** Looks at an object. Fails with `refused` where something is to be done and nothing at hand opens it, with `damaged`, with `missing`. */
export async function judge(work: Rewrapping, stored: Stored): Promise<Judged> {
  const [highest] = stored.generations;
  if (highest === undefined) return 'done';
  const header = await headerAt(work.repository, highest.key);
  const isCurrent = isFor(header, work.recipients);
  if (isCurrent && stored.generations.length === 1) return 'done';
  await fileKeyOf(work, stored, header, highest.key);
  return isCurrent ? 'sweep' : 'renew';
}

/** What became of an object. */
export interface Renewed {
  readonly storedBytes: number;
  /** The keys of what is not needed any more, the lowest generation first. */
  readonly spent: readonly string[];
  /** Generations that hold something else, or nothing that can be read: nobody knows, so they stay. */
  readonly strange: readonly string[];
}

/**
 * Makes the generation of a sealed object that is for the recipients, where the highest is not, and proves it: it is read
 * back, and its plain bytes are those of its seal. Nothing is removed but what was made here and is not whole.
 *
 * Where the highest generation is damaged the next one is tried. Fails with `damaged` where all are, otherwise as `judge`.
 */
export async function renew(work: Rewrapping, stored: Stored): Promise<Renewed> {
  let fault: Failure | undefined;
  for (const source of stored.generations) {
    try {
      return await renewFrom(work, stored, source);
    } catch (error) {
      if (!isFailure(error, 'damaged')) throw error;
      fault ??= error;
    }
  }
  if (fault !== undefined) throw fault;
  return { storedBytes: 0, spent: [], strange: [] };
}

async function renewFrom(work: Rewrapping, stored: Stored, source: Stored['generations'][number]): Promise<Renewed> {
  const { repository, recipients } = work;
  const [highest] = stored.generations;
  const header = await headerAt(repository, source.key);
  const fileKey = await fileKeyOf(work, stored, header, source.key);
  if (source === highest && isFor(header, recipients)) {
    const seal = await proveSealed(await repository.read(source.key), fileKey, source.key);
    return { storedBytes: 0, ...(await part(work, stored, source.key, seal)) };
  }
  const key = generationName({ first: stored.first, number: (highest?.number ?? 1) + 1 });
  await putNew(repository, key, forOthers(await repository.read(source.key), fileKey, recipients, source.key));
  const seal = await removedUnless(repository, key, async () => {
    return await proveSealed(await repository.read(key), fileKey, key);
  });
  return { storedBytes: source.sizeBytes, ...(await part(work, stored, key, seal)) };
}

/** Proves an object that was just made; where it is damaged, twice, it is removed: in its place it would count. */
export async function removedUnless<T>({ storage }: Repository, key: string, prove: () => Promise<T>): Promise<T> {
  try {
    return await prove();
  } catch (error) {
    if (!isFailure(error, 'damaged')) throw error;
  }
  try {
    return await prove();
  } catch (error) {
    if (isFailure(error, 'damaged')) await storage.remove(key);
    throw error;
  }
}

/** Stores an object under a name that was free a moment ago. Fails with `busy` where another run was faster. */
export async function putNew({ storage }: Repository, key: string, body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    await storage.put(key, body);
  } catch (error) {
    if (!isFailure(error, 'conflict')) throw error;
    throw new Failure('busy', `${key} was made by another one who encrypts the same objects anew`, {
      hint: 'Nothing is lost. The same again when the other one has ended.',
      cause: error,
    });
  }
}

/** Parts earlier generations by whether they say that they hold the same. */
async function part(
  { repository }: Rewrapping,
  { generations }: Stored,
  proven: string,
  seal: Seal,
): Promise<Pick<Renewed, 'spent' | 'strange'>> {
  const [spent, strange]: [string[], string[]] = [[], []];
  for (const { key } of generations.toReversed()) {
    if (key === proven) continue;
    (isSameSeal(seal, await sealOrNothing(repository, key)) ? spent : strange).push(key);
  }
  return { spent, strange };
}

async function sealOrNothing(repository: Repository, key: string): Promise<Pick<Seal, 'length' | 'sha256'>> {
  try {
    return await readObjectSeal(await repository.read(key, { start: 0, end: sealRoom }), key);
  } catch (error) {
    if (isFailure(error, 'damaged', 'missing')) return { length: -1, sha256: '' };
    throw error;
  }
}

/** The header of an encrypted object. */
export async function headerAt(repository: Repository, key: string): Promise<AgeHeader> {
  return await readAgeHeader(await repository.read(key, { start: 0, end: headerLimit }), key);
}

/**
 * The key that a generation's payload is encrypted with. It stays the same from one generation to the next, so where what is at
 * hand is for an earlier one only, that one tells it.
 */
async function fileKeyOf(
  { repository, identities }: Rewrapping,
  { generations }: Stored,
  header: AgeHeader,
  key: string,
): Promise<Uint8Array> {
  try {
    return openFileKey(header, identities, key);
  } catch (error) {
    if (!isFailure(error, 'refused')) throw error;
    for (const other of generations) {
      const fileKey = await keyOrNothing(repository, identities, other.key);
      if (fileKey !== undefined && isSignedBy(fileKey, header)) return fileKey;
    }
    throw error;
  }
}

async function keyOrNothing(
  repository: Repository,
  identities: readonly Identity[],
  key: string,
): Promise<Uint8Array | undefined> {
  try {
    return openFileKey(await headerAt(repository, key), identities, key);
  } catch (error) {
    if (isFailure(error, 'refused', 'damaged', 'missing')) return undefined;
    throw error;
  }
}
