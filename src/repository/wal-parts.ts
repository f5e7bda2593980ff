import { Failure } from '../core/failure.ts';
import { readWalHeader, walHeaderLength } from '../core/wal-header.ts';
import { parseWalName, readPartName, type SegmentName } from '../core/wal-name.ts';
import { removeGenerations } from './generations.ts';
import { layout, walNameOfKey, type Place } from './layout.ts';
import type { Repository } from './repository.ts';
import { storedName } from './stored-form.ts';
import { readWal, storeInOnePass, walKeyIn, type ReadOnce, type Stored } from './wal-store.ts';

/**
 * Stores the beginning of a segment that is not finished, as an object that says its length; the rest of the segment is zero
 * at that time. Write-once as all WAL: the same beginning again is a success. Returns only when it is durable.
 */
export async function storePart(
  repository: Repository,
  place: Place,
  name: SegmentName,
  source: ReadOnce,
  level: number,
): Promise<Stored> {
  const at = { key: keyOf(repository, place, name, source.length), what: name.name };
  return await storeInOnePass(repository, repository.keys, at, source, level);
}

function keyOf({ keys }: Repository, place: Place, name: SegmentName, length: number): string {
  return storedName(keys, layout.walPart(place, name, length));
}

/** The lengths of the parts that are stored of a segment, the longest last. */
export async function listParts(repository: Repository, place: Place, name: SegmentName): Promise<readonly number[]> {
  const stored = await namesBeside(repository, place, name);
  return stored.parts;
}

/** Removes parts of a segment that something longer, which is durable, has made superfluous. */
export async function removeParts(
  repository: Repository,
  place: Place,
  name: SegmentName,
  lengths: readonly number[],
): Promise<void> {
  for (const length of lengths) {
    const key = keyOf(repository, place, name, length);
    if (repository.keys.isEncrypted) await removeGenerations(repository, key);
    else await repository.storage.remove(key);
  }
}

async function namesBeside(
  repository: Repository,
  place: Place,
  name: SegmentName,
): Promise<{ readonly parts: readonly number[]; readonly isWhole: boolean }> {
  const names = (await repository.storage.folders(layout.walFolder(place, name))).map((each) =>
    walNameOfKey(`/${each}`),
  );
  const parts = names.flatMap((each) => {
    const part = readPartName(each ?? '');
    return part?.of.name === name.name ? [part.length] : [];
  });
  return { parts: [...new Set(parts)].sort((a, b) => a - b), isWhole: names.includes(name.name) };
}

/** A segment of which only a beginning is wanted. */
export interface PartRequest {
  readonly name: string;
  readonly length: number;
  /** As its header says, unless given. */
  readonly segmentSize: number | undefined;
}

/**
 * The first bytes of a segment and zeros up to its size: what the segment was when this much of it was known.
 *
 * They come from the part of that length, or where that was superseded from what took its place, cut: WAL only grows. Fails
 * as `readWal` does, `missing` included.
 */
export async function* readPart(
  repository: Repository,
  place: Place,
  { name, length, segmentSize }: PartRequest,
): AsyncIterable<Uint8Array> {
  const wal = parseWalName(name);
  if (wal.kind !== 'segment') throw new Failure('internal', `${name} is no segment, so it has no parts`);
  const stored = await namesBeside(repository, place, wal);
  const longer = stored.parts.find((each) => each >= length);
  const key =
    longer === undefined && stored.isWhole
      ? walKeyIn(repository, place, name)
      : keyOf(repository, place, wal, longer ?? length);
  let head = Buffer.alloc(0);
  let given = 0;
  // To its end, although the rest is not wanted: only then is what came before proven.
  for await (const chunk of readWal(repository, key)) {
    const wanted = chunk.subarray(0, Math.max(0, length - given));
    if (head.byteLength < walHeaderLength) head = Buffer.concat([head, wanted.subarray(0, walHeaderLength)]);
    given += wanted.byteLength;
    if (wanted.byteLength > 0) yield wanted;
  }
  yield* zeros((segmentSize ?? sizeFromHeader(head, name)) - given);
}

function sizeFromHeader(head: Uint8Array, name: string): number {
  const header = readWalHeader(head);
  if (typeof header === 'string') {
    throw new Failure('damaged', `the stored beginning of ${name} can't be what its name says: ${header}`);
  }
  return header.segmentSize;
}

const zeroBlock = new Uint8Array(256 * 1024);

function* zeros(count: number): Iterable<Uint8Array> {
  for (let left = count; left > 0; left -= zeroBlock.byteLength) yield zeroBlock.subarray(0, left);
}
