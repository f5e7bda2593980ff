import * as z from 'zod';
import { contiguousFrom, segmentAt, type Way } from './restorable.ts';
import { formatLsn, type Lsn } from './lsn.ts';
import { timelineOfSegment } from './timeline.ts';
import { segmentName, segmentStart } from './wal-name.ts';
import { formatBytes } from './words.ts';

/** What the server's own WAL directory says of a file: it may still be archived, or PostgreSQL believes that it was. */
export type LocalWal = ReadonlyMap<string, 'waits' | 'done'>;

/**
 * What has become of a finished segment: it is stored; it is not, and its turn is now; it is not, though its turn has passed,
 * and the server or the stream still has it; nobody has it any more.
 */
const walWords = ['found', 'uploading', 'delayed', 'lost'] as const;
type WalWord = (typeof walWords)[number];

/** Segments of one timeline of which the same is to be said, by number, both ends included. */
interface WalRun {
  readonly is: WalWord;
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
}

/** Several are pushed at once, and each may be the last to arrive: its turn has passed when so many later ones are stored. */
const atOnce = 8;

/**
 * Says of each segment from `from` up to (not including) `current`, which the server is writing, what has become of it.
 *
 * `local` must have been read before the listing that the way was made from: what was recycled by then is stored by then,
 * or lost.
 */
export function walRuns(way: Way, local: LocalWal, from: number, current: number): readonly WalRun[] {
  const newest = way.stretches.at(-1)?.last ?? -1;
  const runs: { is: WalWord; timeline: number; first: number; last: number }[] = [];
  for (let segment = from; segment < current;) {
    const timeline = timelineOfSegment(way.path, segment) ?? way.timeline;
    const stretch = segmentAt(way.stretches, segment);
    const isThere = () => local.get(segmentName(timeline, segment, way.segmentSize)) === 'waits';
    const is =
      stretch !== undefined ? 'found' : !isThere() ? 'lost' : newest - segment > atOnce ? 'delayed' : 'uploading';
    // What is stored is told by the stretch: months of it cost no more than a minute of it.
    const end = Math.min(stretch?.last ?? segment, current - 1);
    const last = runs.at(-1);
    if (last?.is === is && last.timeline === timeline) last.last = end;
    else runs.push({ is, timeline, first: segment, last: end });
    segment = end + 1;
  }
  return runs;
}

const runSchema = z.object({ from: z.string(), to: z.string(), segments: z.number().int().positive() });

/** The line of WAL from the newest base backup on, as a status carries it. */
export const walLineSchema = z.object({
  found: z.number().int().nonnegative(),
  uploading: z.number().int().nonnegative(),
  delayed: z.number().int().nonnegative(),
  lost: z.number().int().nonnegative(),
  /** By name, the stretches that are not found, oldest first; at most so many as a reader can use. */
  missing: z.array(runSchema.extend({ is: z.enum(['uploading', 'delayed', 'lost']) })),
  /** Up to where all of it is stored without a gap, the beginning of an unfinished segment included. */
  storedTo: z.string(),
  /** What the server has written behind that. */
  behindBytes: z.number().nonnegative(),
});
export type WalLine = z.infer<typeof walLineSchema>;

const mostMissing = 20;

/** What a status says of the line that begins with a segment, on a server that writes at this LSN. */
export function walLine(way: Way, runs: readonly WalRun[], from: number, lsn: Lsn): WalLine {
  const count = (word: WalWord) =>
    runs.filter(({ is }) => is === word).reduce((sum, { first, last }) => sum + last - first + 1, 0);
  const { last, part } = contiguousFrom(way, from);
  const storedTo = segmentStart(last + 1, way.segmentSize) + BigInt(part?.part ?? 0);
  const missing = runs.flatMap(({ is, timeline, first, last: end }) =>
    is === 'found'
      ? []
      : [
          {
            is,
            from: segmentName(timeline, first, way.segmentSize),
            to: segmentName(timeline, end, way.segmentSize),
            segments: end - first + 1,
          },
        ],
  );
  return {
    found: count('found'),
    uploading: count('uploading'),
    delayed: count('delayed'),
    lost: count('lost'),
    missing: missing.slice(0, mostMissing),
    storedTo: formatLsn(storedTo),
    behindBytes: lsn > storedTo ? Number(lsn - storedTo) : 0,
  };
}

/** The line in words. */
export function walLineText(line: WalLine): string {
  const counts = walWords.flatMap((word) => (line[word] === 0 && word !== 'found' ? [] : [`${line[word]} ${word}`]));
  return `WAL segments since the newest backup: ${counts.join(', ')}; all is stored up to ${line.storedTo}, ${formatBytes(line.behindBytes)} behind the server`;
}

/** The first stretch of a kind by name, in words. */
export function missingText(line: WalLine, word: WalWord): string {
  const of = line.missing.filter(({ is }) => is === word);
  const [first] = of;
  if (first === undefined) return `${line[word]} WAL segments are ${word}`;
  const which = first.segments === 1 ? first.from : `${first.from} to ${first.to}`;
  return `${which}${of.length > 1 ? ' and others' : ''} ${first.segments === 1 && of.length === 1 ? 'is' : 'are'} ${word}`;
}
