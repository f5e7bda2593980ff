import { segmentAt, type Way } from './restorable.ts';
import { timelineOfSegment } from './timeline.ts';
import { segmentName } from './wal-name.ts';

/** What the server's own WAL directory says of a file: it may still be archived, or PostgreSQL believes that it was. */
export type LocalWal = ReadonlyMap<string, 'waits' | 'done'>;

/** Segments of one timeline that will never come, by number, both ends included. */
export interface LostSegments {
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
}

/**
 * The segments from `from` up to (not including) `current` that are not stored and that the server no longer has to give:
 * it has recycled them, or marked them as archived.
 *
 * `local` must have been read before the listing that the way was made from: what was recycled by then is stored by then,
 * or lost.
 */
export function findLost(way: Way, local: LocalWal, from: number, current: number): readonly LostSegments[] {
  const lost: { timeline: number; first: number; last: number }[] = [];
  for (let segment = from; segment < current; segment += 1) {
    const timeline = timelineOfSegment(way.path, segment) ?? way.timeline;
    if (segmentAt(way.stretches, segment) !== undefined) continue;
    if (local.get(segmentName(timeline, segment, way.segmentSize)) === 'waits') continue;
    const last = lost.at(-1);
    if (last !== undefined && last.timeline === timeline && last.last === segment - 1) last.last = segment;
    else lost.push({ timeline, first: segment, last: segment });
  }
  return lost;
}
