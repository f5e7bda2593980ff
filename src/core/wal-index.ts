import * as z from 'zod';
import { readPartName, readWalName, segmentNumber, segmentsPerLog } from './wal-name.ts';

/** An unbroken run of segments, by number, both ends included. */
export interface SegmentRun {
  readonly first: number;
  readonly last: number;
}

/** The stored beginning of a segment that was not finished at that time. */
export interface SegmentPart {
  readonly segment: number;
  readonly length: number;
}

/** What is stored of one timeline. */
export interface TimelineIndex {
  readonly timeline: number;
  /** Whole segments: runs in order, with a gap between each and the next. */
  readonly runs: readonly SegmentRun[];
  readonly partials: readonly number[];
  /** By segment, the longest last. */
  readonly parts: readonly SegmentPart[];
  readonly hasHistory: boolean;
}

/** What WAL an incarnation holds. It is made from a listing and can always be made again. */
export interface WalIndex {
  readonly segmentSize: number;
  readonly timelines: ReadonlyMap<number, TimelineIndex>;
  /** Names that no cluster with this segment size could have made. */
  readonly strangers: readonly string[];
}

/** Logs (4 GiB of WAL) of one timeline of which every segment is stored, by number, both ends included. */
export const wholeLogsSchema = z.object({
  timeline: z.number().int().positive(),
  first: z.number().int().nonnegative(),
  last: z.number().int().nonnegative(),
});
export type WholeLogs = z.infer<typeof wholeLogsSchema>;

interface Building {
  readonly runs: SegmentRun[];
  readonly partials: number[];
  readonly parts: SegmentPart[];
  hasHistory: boolean;
}

function bySegment(a: SegmentPart, b: SegmentPart): number {
  return a.segment - b.segment || a.length - b.length;
}

/** Builds the index from file names in any order, and from logs that are known to be whole. */
export function indexWal(names: Iterable<string>, segmentSize: number, whole: readonly WholeLogs[] = []): WalIndex {
  const building = new Map<number, Building>();
  const strangers: string[] = [];
  const of = (timeline: number) => {
    const known = building.get(timeline) ?? { runs: [], partials: [], parts: [], hasHistory: false };
    building.set(timeline, known);
    return known;
  };
  const perLog = segmentsPerLog(segmentSize);
  for (const { timeline, first, last } of whole)
    of(timeline).runs.push({ first: first * perLog, last: (last + 1) * perLog - 1 });
  for (const text of names) {
    const name = readWalName(text);
    const part = readPartName(text);
    const partOf = part === undefined ? undefined : segmentNumber(part.of, segmentSize);
    if (part !== undefined && partOf !== undefined && part.length <= segmentSize) {
      of(part.of.timeline).parts.push({ segment: partOf, length: part.length });
      continue;
    }
    if (name === undefined) {
      strangers.push(text);
      continue;
    }
    if (name.kind === 'history') {
      of(name.timeline).hasHistory = true;
      continue;
    }
    const number = segmentNumber(name, segmentSize);
    if (number === undefined) strangers.push(text);
    else if (name.kind === 'segment') of(name.timeline).runs.push({ first: number, last: number });
    else if (name.kind === 'partial') of(name.timeline).partials.push(number);
  }
  const timelines = [...building].map(([timeline, { runs, partials, parts, hasHistory }]) => {
    const sorted = { partials: partials.sort((a, b) => a - b), parts: parts.sort(bySegment) };
    return [timeline, { timeline, runs: joinRuns(runs), ...sorted, hasHistory }] as const;
  });
  return { segmentSize, timelines: new Map(timelines.sort(([a], [b]) => a - b)), strangers: strangers.sort() };
}

/** Joins runs, in any order and overlapping as they like, as far as they follow each other. */
export function joinRuns(runs: readonly SegmentRun[]): readonly SegmentRun[] {
  const joined: { first: number; last: number }[] = [];
  for (const run of [...runs].sort((a, b) => a.first - b.first)) {
    const last = joined.at(-1);
    if (last !== undefined && run.first <= last.last + 1) last.last = Math.max(last.last, run.last);
    else joined.push({ ...run });
  }
  return joined;
}

/**
 * The logs of which every segment is stored and nothing else that an index tells of: nothing more can come to lie there that
 * would change it. None where there are strangers, which no number says a log of.
 */
export function wholeLogs({ segmentSize, timelines, strangers }: WalIndex): readonly WholeLogs[] {
  if (strangers.length > 0) return [];
  const perLog = segmentsPerLog(segmentSize);
  return [...timelines.values()].flatMap(({ timeline, runs, partials, parts }) => {
    const unsettled = new Set(
      [...partials, ...parts.map(({ segment }) => segment)].map((segment) => Math.floor(segment / perLog)),
    );
    const logs = runs.flatMap(({ first, last }) => {
      const [from, to] = [Math.ceil(first / perLog), Math.floor((last + 1) / perLog) - 1];
      return Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at);
    });
    const settled = logs.filter((log) => !unsettled.has(log)).map((log) => ({ first: log, last: log }));
    return joinRuns(settled).map((run) => ({ timeline, ...run }));
  });
}

/** The run that holds a segment. */
export function runWith(index: TimelineIndex | undefined, segment: number): SegmentRun | undefined {
  return index?.runs.find((run) => segment >= run.first && segment <= run.last);
}

/** The longest part that is stored of a segment. */
export function longestPart(index: TimelineIndex | undefined, segment: number): SegmentPart | undefined {
  return index?.parts.findLast((part) => part.segment === segment);
}

/**
 * The parts that nobody needs any more, by timeline: those of a segment that is stored whole or in a longer part, and those
 * below every whole segment of the incarnation, to which no row of segments leads.
 */
export function spentParts(wal: WalIndex): readonly { readonly timeline: number; readonly part: SegmentPart }[] {
  const indexes = [...wal.timelines.values()];
  const lowest = Math.min(...indexes.flatMap(({ runs }) => runs.map(({ first }) => first)));
  return indexes.flatMap((index) =>
    index.parts
      .filter(
        (part) =>
          part !== longestPart(index, part.segment) ||
          runWith(index, part.segment) !== undefined ||
          (part.segment < lowest && lowest !== Infinity),
      )
      .map((part) => ({ timeline: index.timeline, part })),
  );
}

/** Tells whether a later segment of the same timeline is stored. */
export function hasLater(index: TimelineIndex | undefined, segment: number): boolean {
  return (index?.runs.at(-1)?.last ?? -1) > segment;
}
