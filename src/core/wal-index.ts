import { readPartName, readWalName, segmentNumber } from './wal-name.ts';

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

interface Building {
  readonly segments: number[];
  readonly partials: number[];
  readonly parts: SegmentPart[];
  hasHistory: boolean;
}

function bySegment(a: SegmentPart, b: SegmentPart): number {
  return a.segment - b.segment || a.length - b.length;
}

/** Builds the index from file names in any order. */
export function indexWal(names: Iterable<string>, segmentSize: number): WalIndex {
  const building = new Map<number, Building>();
  const strangers: string[] = [];
  const of = (timeline: number) => {
    const known = building.get(timeline) ?? { segments: [], partials: [], parts: [], hasHistory: false };
    building.set(timeline, known);
    return known;
  };
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
    else if (name.kind === 'segment') of(name.timeline).segments.push(number);
    else if (name.kind === 'partial') of(name.timeline).partials.push(number);
  }
  const timelines = [...building].map(([timeline, { segments, partials, parts, hasHistory }]) => {
    const sorted = { partials: partials.sort((a, b) => a - b), parts: parts.sort(bySegment) };
    return [timeline, { timeline, runs: toRuns(segments), ...sorted, hasHistory }] as const;
  });
  return { segmentSize, timelines: new Map(timelines.sort(([a], [b]) => a - b)), strangers: strangers.sort() };
}

/** Joins segment numbers, in any order and any number of times, to runs. */
export function toRuns(segments: readonly number[]): readonly SegmentRun[] {
  const runs: { first: number; last: number }[] = [];
  for (const segment of [...segments].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && segment <= last.last + 1) last.last = segment;
    else runs.push({ first: segment, last: segment });
  }
  return runs;
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
