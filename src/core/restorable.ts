import { timelinesOf } from './timelines-of.ts';
import type { Backup } from './backup.ts';
import type { ClusterCatalogue, IncarnationCatalogue } from './catalogue.ts';
import { lineage } from './incarnation.ts';
import type { Lsn } from './lsn.ts';
import { timelinePath, type TimelinePiece, type TimelineSwitch } from './timeline.ts';
import { longestPart } from './wal-index.ts';
import { segmentEndingAt, segmentOf, segmentStart } from './wal-name.ts';

/** Stored segments of one incarnation and timeline without a gap, by number, both ends included. */
export interface Stretch {
  readonly incarnation: number;
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
  /** It is one segment of which only this many bytes are stored: the end of what is known, zeros behind it. */
  readonly part?: number | undefined;
}

/** Segments that a way lacks although later ones of it are stored. */
export interface Gap {
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
}

/**
 * The way to one timeline of one incarnation: which stored segment recovery reads at each place.
 *
 * A child's own WAL comes first, its ancestors' only up to where the child left them: an ancestor that went on may use the
 * same timeline number for other bytes.
 */
export interface Way {
  readonly incarnation: number;
  readonly timeline: number;
  readonly segmentSize: number;
  readonly path: readonly TimelinePiece[];
  /** Where the way's timelines left their parents, oldest first. */
  readonly history: readonly TimelineSwitch[];
  /** What is stored of it, in order, without overlaps. */
  readonly stretches: readonly Stretch[];
  /** The longest part of each segment of it that is not stored whole. */
  readonly parts: readonly Stretch[];
}

/** What one complete backup gives along one way. */
export interface Window {
  readonly backup: Backup;
  /** The incarnation that the backup lies in: the way's own or an ancestor. */
  readonly backupIncarnation: number;
  readonly incarnation: number;
  readonly timeline: number;
  readonly segmentSize: number;
  /** The earliest stop: the backup's own. */
  readonly from: Lsn;
  /** The end of the last segment, or part of one, that joins without a gap; the last whole record ends at or before it. */
  readonly to: Lsn;
  /** The segments from the backup's start to `to`. */
  readonly stretches: readonly Stretch[];
  /** The first gap behind `to`, when something later is stored. */
  readonly gap: Gap | undefined;
}

/** An ancestor's share in a child's way ends here: on this timeline at this LSN, and wholly on those before. */
interface Limit {
  readonly timeline: number;
  readonly lsn: Lsn;
}

interface Source {
  readonly catalogue: IncarnationCatalogue;
  readonly limit: Limit | undefined;
}

/** The incarnation and its ancestors, each with where its share ends. */
function sources(cluster: ClusterCatalogue, incarnation: number): readonly Source[] {
  const line = lineage(incarnation, cluster.incarnations);
  return line.flatMap(({ number }, index) => {
    const catalogue = cluster.incarnations.find((each) => each.number === number);
    const parent = line[index - 1]?.owner.parent;
    return catalogue === undefined ? [] : [{ catalogue, limit: parent ?? undefined }];
  });
}

function allows(limit: Limit | undefined, timeline: number, lsn: Lsn): boolean {
  if (limit === undefined || timeline < limit.timeline) return true;
  return timeline === limit.timeline && lsn <= limit.lsn;
}

/** The way to a timeline of an incarnation; `undefined` when the repository does not know the incarnation. */
export function wayTo(cluster: ClusterCatalogue, incarnation: number, timeline: number): Way | undefined {
  const from = sources(cluster, incarnation);
  const own = from[0];
  if (own === undefined) return undefined;
  // A backup knows the segment size for certain; an incarnation without one may only have guessed it.
  const { segmentSize } = (from.find(({ catalogue }) => catalogue.backups.length > 0) ?? own).catalogue.wal;
  const history = historyOf(from, timeline);
  const path = timelinePath(timeline, history, segmentSize);
  const stretches = path.flatMap((piece) => stretchesOf(from, piece, segmentSize));
  const parts = path.flatMap((piece) => partsOf(from, piece, segmentSize));
  const open = parts.filter(({ first }) => segmentAt(stretches, first) === undefined);
  return { incarnation, timeline, segmentSize, path, history, stretches, parts: open };
}

/** The longest part of each segment of a piece; where two incarnations hold one, the descendant's counts. */
function partsOf(from: readonly Source[], piece: TimelinePiece, segmentSize: number): readonly Stretch[] {
  const found = new Map<number, Stretch>();
  for (const { catalogue, limit } of from) {
    const last = Math.min(piece.lastSegment ?? Infinity, lastAllowed(limit, piece.timeline, segmentSize));
    const index = catalogue.wal.timelines.get(piece.timeline);
    for (const { segment } of index?.parts ?? []) {
      const part = longestPart(index, segment)?.length;
      if (segment < piece.firstSegment || segment > last || found.has(segment)) continue;
      const place = { incarnation: catalogue.number, timeline: piece.timeline };
      found.set(segment, { ...place, first: segment, last: segment, part });
    }
  }
  return [...found.values()].sort((a, b) => a.first - b.first);
}

function historyOf(from: readonly Source[], timeline: number): readonly TimelineSwitch[] {
  for (const { catalogue, limit } of from) {
    if (limit !== undefined && timeline > limit.timeline) continue;
    const found = catalogue.histories.get(timeline);
    if (found !== undefined) return found;
  }
  return [];
}

/** What is stored of one piece of a path; where two incarnations hold a segment, the descendant's counts. */
function stretchesOf(from: readonly Source[], piece: TimelinePiece, segmentSize: number): readonly Stretch[] {
  let taken: Stretch[] = [];
  for (const { catalogue, limit } of from) {
    const last = Math.min(piece.lastSegment ?? Infinity, lastAllowed(limit, piece.timeline, segmentSize));
    const bounds = { first: piece.firstSegment, last };
    const runs = catalogue.wal.timelines.get(piece.timeline)?.runs ?? [];
    const mine = runs.flatMap((run) => {
      const cut = { first: Math.max(run.first, bounds.first), last: Math.min(run.last, bounds.last) };
      return cut.first > cut.last ? [] : [{ incarnation: catalogue.number, timeline: piece.timeline, ...cut }];
    });
    taken = [...taken, ...mine.flatMap((stretch) => without(stretch, taken))].sort((a, b) => a.first - b.first);
  }
  return taken;
}

/** The newest segment of an ancestor's timeline in which the child still shares bytes. */
function lastAllowed(limit: Limit | undefined, timeline: number, segmentSize: number): number {
  if (limit === undefined || timeline < limit.timeline) return Infinity;
  return timeline === limit.timeline ? segmentEndingAt(limit.lsn, segmentSize) : -1;
}

/** What is left of a stretch when others have been taken out of it. */
function without(stretch: Stretch, others: readonly Stretch[]): readonly Stretch[] {
  let left: readonly Stretch[] = [stretch];
  for (const other of others) {
    left = left.flatMap((each) => {
      if (other.last < each.first || other.first > each.last) return [each];
      const before = other.first > each.first ? [{ ...each, last: other.first - 1 }] : [];
      const after = other.last < each.last ? [{ ...each, first: other.last + 1 }] : [];
      return [...before, ...after];
    });
  }
  return left;
}

/**
 * How far a way goes on without a gap from a segment; `last` is the last whole one, and below `from` when that segment itself
 * is missing. `part` is what is stored of the one after it.
 */
export function contiguousFrom(
  way: Way,
  from: number,
): { stretches: readonly Stretch[]; last: number; part: Stretch | undefined; gap: Gap | undefined } {
  const partAt = (segment: number) => way.parts.find(({ first }) => first === segment);
  const stretches: Stretch[] = [];
  let next = from;
  for (const stretch of way.stretches) {
    if (stretch.last < from) continue;
    if (stretch.first > next) {
      const timeline = way.path.find(
        (piece) => next >= piece.firstSegment && next <= (piece.lastSegment ?? Infinity),
      )?.timeline;
      return {
        stretches,
        last: next - 1,
        part: partAt(next),
        gap: { timeline: timeline ?? way.timeline, first: next, last: stretch.first - 1 },
      };
    }
    stretches.push({ ...stretch, first: Math.max(stretch.first, from) });
    next = stretch.last + 1;
  }
  return { stretches, last: next - 1, part: partAt(next), gap: undefined };
}

/** The stored segment of a way at a place; `undefined` when it is not stored. */
export function segmentAt(stretches: readonly Stretch[], segment: number): Stretch | undefined {
  return stretches.find(({ first, last }) => segment >= first && segment <= last);
}

/** Tells whether recovery from a backup can follow a way: the way's timelines left the backup's at or after its stop. */
function liesOn(way: Way, backup: Backup): boolean {
  if (backup.timeline === way.timeline) return true;
  const left = way.history.find(({ parent }) => parent === backup.timeline);
  return left !== undefined && backup.stopLsn <= left.at;
}

/** The windows that the backups of an incarnation and its ancestors give along one way, oldest backup first. */
export function windowsOn(cluster: ClusterCatalogue, way: Way): readonly Window[] {
  const windows: Window[] = [];
  for (const { catalogue, limit } of sources(cluster, way.incarnation).toReversed()) {
    for (const backup of catalogue.backups) {
      if (backup.withWal || !liesOn(way, backup) || !allows(limit, backup.timeline, backup.stopLsn)) continue;
      const window = windowFrom(way, backup, catalogue.number);
      if (window !== undefined) windows.push(window);
    }
  }
  return windows.sort((a, b) => (a.from === b.from ? 0 : a.from < b.from ? -1 : 1));
}

function windowFrom(way: Way, backup: Backup, backupIncarnation: number): Window | undefined {
  const { stretches, last, part, gap } = contiguousFrom(way, segmentOf(backup.startLsn, way.segmentSize));
  // Without the WAL up to its stop a backup is not consistent, and so not complete: nothing can be made of it here.
  if (last < segmentEndingAt(backup.stopLsn, way.segmentSize)) return undefined;
  return {
    backup,
    backupIncarnation,
    incarnation: way.incarnation,
    timeline: way.timeline,
    segmentSize: way.segmentSize,
    from: backup.stopLsn,
    to: segmentStart(last + 1, way.segmentSize) + BigInt(part?.part ?? 0),
    stretches: part === undefined ? stretches : [...stretches, part],
    gap,
  };
}

/** Everything in an incarnation that can be restored to a point in time, timeline by timeline, oldest backup first. */
export function restorable(cluster: ClusterCatalogue, incarnation: number): readonly Window[] {
  const catalogue = cluster.incarnations.find(({ number }) => number === incarnation);
  return (catalogue === undefined ? [] : timelinesOf(catalogue)).flatMap((timeline) => {
    const way = wayTo(cluster, incarnation, timeline);
    return way === undefined ? [] : windowsOn(cluster, way);
  });
}

/** The timeline that a restore follows unless told: the newest of the incarnation that descends from the backup, if given. */
export function defaultTimeline(
  cluster: ClusterCatalogue,
  incarnation: number,
  backup: Backup | undefined,
): number | undefined {
  const catalogue = cluster.incarnations.find(({ number }) => number === incarnation);
  if (catalogue === undefined) return undefined;
  return timelinesOf(catalogue).findLast((timeline) => {
    const way = wayTo(cluster, incarnation, timeline);
    if (way === undefined) return false;
    return backup === undefined ? backupsOn(cluster, way).length > 0 : liesOn(way, backup);
  });
}

/** All complete backups from which recovery could follow a way if the WAL were there, oldest first, with their incarnation. */
export function backupsOn(
  cluster: ClusterCatalogue,
  way: Way,
): readonly { readonly backup: Backup; readonly incarnation: number }[] {
  return sources(cluster, way.incarnation)
    .toReversed()
    .flatMap(({ catalogue, limit }) =>
      catalogue.backups
        .filter((backup) => liesOn(way, backup) && allows(limit, backup.timeline, backup.stopLsn))
        .map((backup) => ({ backup, incarnation: catalogue.number })),
    );
}

/**
 * The history files that recovery along a way may ask for and gets: each with the incarnation that stores it.
 *
 * Ancestors' timelines above the way's own are among them although they lie on other branches: PostgreSQL only asks whether
 * they exist, and then picks a number that nobody in the lineage uses.
 */
export function historiesOn(
  cluster: ClusterCatalogue,
  way: Way,
): readonly { readonly timeline: number; readonly incarnation: number }[] {
  const found = new Map<number, number>();
  for (const { catalogue, limit } of sources(cluster, way.incarnation)) {
    for (const timeline of catalogue.histories.keys()) {
      if (found.has(timeline)) continue;
      if (limit === undefined || timeline <= limit.timeline || timeline > way.timeline)
        found.set(timeline, catalogue.number);
    }
  }
  return [...found]
    .map(([timeline, incarnation]) => ({ timeline, incarnation }))
    .sort((a, b) => a.timeline - b.timeline);
}
