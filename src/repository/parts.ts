import { createHash } from 'node:crypto';
import type { Part } from '../core/backup.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { readGeneration } from './layout.ts';
import type { Repository } from './repository.ts';
import { readReplaced, takeReplaced } from './rewraps.ts';
import { encryptedForm, openedForm, proveObjectOpens, storedName } from './stored-form.ts';
import { usedUp } from '../system/memory.ts';

/**
 * Stores a stream as parts `<name>.00001`, `<name>.00002`, … below a prefix; they concatenate to the stream, or to one age
 * file of it (`<name>.age.00001`) where the repository is encrypted.
 *
 * The stream is read once and never held: memory is a few chunks. An empty stream makes one empty part.
 */
export async function storeParts(
  repository: Repository,
  prefix: string,
  name: string,
  stream: AsyncIterable<Uint8Array>,
  partBytes: number,
): Promise<readonly Part[]> {
  const { keys } = repository;
  const source = new Cuttable(encryptedForm(keys, stream));
  const parts: Part[] = [];
  try {
    do {
      const partName = `${storedName(keys, name)}.${String(parts.length + 1).padStart(5, '0')}`;
      parts.push(await put(repository, prefix, partName, source.take(partBytes)));
    } while (await source.hasMore());
  } finally {
    await source.close();
  }
  return parts;
}

/** Stores one stream as one object below a prefix, and says its name, and length and SHA-256 of its stored bytes. */
export async function storeObject(
  repository: Repository,
  prefix: string,
  name: string,
  stream: AsyncIterable<Uint8Array>,
): Promise<Part> {
  const { keys } = repository;
  return await put(repository, prefix, storedName(keys, name), encryptedForm(keys, stream));
}

async function put(
  repository: Repository,
  prefix: string,
  name: string,
  stream: AsyncIterable<Uint8Array>,
): Promise<Part> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const watched = async function* () {
    for await (const chunk of stream) {
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
      yield chunk;
    }
  };
  await repository.storage.put(prefix + name, watched());
  return { name, sizeBytes, sha256: hash.digest('hex') };
}

/** The stream that was stored as these parts; fails with `damaged` at the end of the first part that is not what was stored. */
export async function* readParts(
  repository: Repository,
  prefix: string,
  parts: readonly Part[],
): AsyncIterable<Uint8Array> {
  yield* openedForm(repository.keys, readStored(repository, prefix, parts), prefix + (parts[0]?.name ?? ''));
}

/** Tries whether what is at hand opens a stream that was stored as these parts; reads no more than its beginning. */
export async function proveOpens(repository: Repository, prefix: string, parts: readonly Part[]): Promise<void> {
  if (!repository.keys.isEncrypted) return;
  const [first] = parts;
  if (first === undefined) return;
  await proveObjectOpens(repository, async (range) => {
    const { part, stored } = await openPart(repository, prefix, first, range);
    return { key: prefix + part.name, stored };
  });
}

async function* readStored(repository: Repository, prefix: string, parts: readonly Part[]): AsyncIterable<Uint8Array> {
  for (const each of parts) {
    const { part, stored } = await openPart(repository, prefix, each);
    yield* asRecorded(stored, prefix + part.name, part);
  }
}

/** Opens a part, or where that is gone the one that the backup's newest record of a re-encryption names in its place. */
async function openPart(
  repository: Repository,
  prefix: string,
  part: Part,
  range?: { start: number; end: number },
): Promise<{ readonly part: Part; readonly stored: AsyncIterable<Uint8Array> }> {
  try {
    return { part, stored: await repository.read(prefix + part.name, range) };
  } catch (error) {
    const other = isFailure(error, 'missing') ? await replacementOf(repository, prefix, part) : undefined;
    if (other === undefined) throw error;
    return await openPart(repository, prefix, other, range);
  }
}

async function replacementOf(repository: Repository, prefix: string, part: Part): Promise<Part | undefined> {
  const name = readGeneration(part.name);
  if (name === undefined) return undefined;
  const [other] = takeReplaced([part], await readReplaced(repository, prefix));
  const number = readGeneration(other?.name ?? '')?.number ?? 0;
  return number > name.number ? other : undefined;
}

/** The stored bytes of a part; the stream fails with `damaged` at its end unless they are those that its record tells of. */
export async function* asRecorded(
  stored: AsyncIterable<Uint8Array>,
  key: string,
  part: Pick<Part, 'sizeBytes' | 'sha256'>,
): AsyncIterable<Uint8Array> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of stored) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
    yield chunk;
    usedUp(chunk.byteLength);
  }
  if (sizeBytes === part.sizeBytes && hash.digest('hex') === part.sha256) return;
  throw new Failure('damaged', `the object ${key} is not the bytes that were stored`, {
    hint: 'Restore from another backup; look for disk errors at the destination.',
  });
}

/** A stream that is consumed in stretches. */
class Cuttable {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #rest: Uint8Array | undefined;

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#iterator = stream[Symbol.asyncIterator]();
  }

  /** Tells the stream that nobody reads on; it has ended or a part could not be stored. */
  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  async hasMore(): Promise<boolean> {
    while (this.#rest === undefined || this.#rest.byteLength === 0) {
      const next = await this.#iterator.next();
      if (next.done === true) return false;
      this.#rest = next.value;
    }
    return true;
  }

  async *take(bytes: number): AsyncIterable<Uint8Array> {
    let left = bytes;
    while (left > 0 && (await this.hasMore())) {
      const chunk: Uint8Array = this.#rest ?? new Uint8Array();
      this.#rest = chunk.subarray(left);
      const taken = chunk.subarray(0, left);
      left -= taken.byteLength;
      yield taken;
    }
  }
}
