import type { Way } from './restorable.ts';
import { walRuns, type LocalWal } from './wal-line.ts';

/** Segments of one timeline that will never come, by number, both ends included. */
export interface LostSegments {
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
}

/**
 * The segments from `from` up to (not including) `current` that are not stored and that the server no longer has to give:
 * it has recycled them, or marked them as archived. As for `walRuns`, the server's folder was read first.
 */
export function findLost(way: Way, local: LocalWal, from: number, current: number): readonly LostSegments[] {
  return walRuns(way, local, from, current).flatMap(({ is, timeline, first, last }) =>
    is === 'lost' ? [{ timeline, first, last }] : [],
  );
}
