import { isFailure } from '../core/failure.ts';
import type { Incarnation } from '../core/incarnation.ts';
import type { Lsn } from '../core/lsn.ts';
import {
  readPartName,
  readWalName,
  segmentNumber,
  segmentStart,
  timelineName,
  type WalName,
} from '../core/wal-name.ts';
import { keepersOf } from '../core/wal-keepers.ts';
import { layout, walNameOfKey, type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { listParts } from '../repository/wal-parts.ts';
import { sealAt, walKeyIn } from '../repository/wal-store.ts';

type Segment = Extract<WalName, { kind: 'segment' }>;

/** Where in a lineage a WAL file is stored, the incarnation first, then its ancestors; `undefined` when positively nowhere. */
export async function findWal(
  repository: Repository,
  systemIdentifier: string,
  line: readonly Incarnation[],
  name: WalName,
): Promise<Place | undefined> {
  for (const { incarnation, before } of keepersOf(line, name.timeline)) {
    const place: Place = { systemIdentifier, incarnation };
    const length = await storedLength(repository, place, name.name);
    if (length === undefined) continue;
    if (before === undefined || name.kind !== 'segment' || begins(name, length, before)) return place;
  }
  return undefined;
}

/** The longest part of a segment in a lineage, for a recovery that ends where the WAL does; `undefined` when there is none. */
export async function findPart(
  repository: Repository,
  systemIdentifier: string,
  line: readonly Incarnation[],
  name: Segment,
): Promise<{ readonly place: Place; readonly length: number } | undefined> {
  for (const { incarnation, before } of keepersOf(line, name.timeline)) {
    const place: Place = { systemIdentifier, incarnation };
    const length = (await listParts(repository, place, name)).at(-1);
    // Where a lineage has left an ancestor, the rest of that segment belongs to another future.
    if (length !== undefined && before === undefined) return { place, length };
  }
  return undefined;
}

/** The name of a segment of the same timeline that is stored in a lineage after this one, or a beginning of it, if there is any. */
export async function findLater(
  repository: Repository,
  systemIdentifier: string,
  line: readonly Incarnation[],
  name: Segment,
): Promise<string | undefined> {
  for (const { incarnation, before } of keepersOf(line, name.timeline)) {
    const place: Place = { systemIdentifier, incarnation };
    const later = await firstAfter(repository, place, name, before === undefined);
    if (later === undefined || before === undefined) {
      if (later !== undefined) return later.name;
      continue;
    }
    const length = await storedLength(repository, place, later.name);
    if (length !== undefined && begins(later, length, before)) return later.name;
  }
  return undefined;
}

async function firstAfter(
  repository: Repository,
  place: Place,
  name: Segment,
  withBeginnings: boolean,
): Promise<Segment | undefined> {
  const timeline = `${layout.wal(place)}${timelineName(name.timeline)}/`;
  for (const log of await repository.storage.folders(timeline)) {
    // Fixed hexadecimal digits: the order of names is that of segments.
    if (!/^[0-9A-F]{8}\/$/.test(log) || log.slice(0, 8) < timelineName(name.log)) continue;
    for (const object of await repository.storage.folders(timeline + log)) {
      const stored = walNameOfKey(`/${object}`) ?? '';
      const other = (withBeginnings ? readPartName(stored)?.of : undefined) ?? readWalName(stored);
      if (other?.kind === 'segment' && other.name > name.name) return other;
    }
  }
  return undefined;
}

async function storedLength(repository: Repository, place: Place, name: string): Promise<number | undefined> {
  try {
    return (await sealAt(repository, walKeyIn(repository, place, name))).length;
  } catch (error) {
    if (isFailure(error, 'missing')) return undefined;
    throw error;
  }
}

function begins(name: Segment, segmentSize: number, before: Lsn): boolean {
  const number = segmentNumber(name, segmentSize);
  return number !== undefined && segmentStart(number, segmentSize) < before;
}
