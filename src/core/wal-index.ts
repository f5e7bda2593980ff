import { readWalName, segmentNumber } from './wal-name.ts';

/** An unbroken run of segments, by number, both ends included. */
export interface SegmentRun {
  readonly first: number;
  readonly last: number;
}

/** What is stored of one timeline. */
export interface TimelineIndex {
  readonly timeline: number;
  /** Whole segments: runs in order, with a gap between each and the next. */
  readonly runs: readonly SegmentRun[];
  readonly partials: readonly number[];
  readonly hasHistory: boolean;
}

/** What WAL an incarnation holds. It is made from a listing and can always be made again. */
export interface WalIndex {
  readonly segmentSize: number;
  readonly timelines: ReadonlyMap<number, TimelineIndex>;
  /** Names that no cluster with this segment size could have made. */
  readonly strangers: readonly string[];
}

/** Builds the index from file names in any order. */
export function indexWal(names: Iterable<string>, segmentSize: number): WalIndex {
  const building = new Map<number, { segments: number[]; partials: number[]; hasHistory: boolean }>();
  const strangers: string[] = [];
  const of = (timeline: number) => {
    const known = building.get(timeline) ?? { segments: [], partials: [], hasHistory: false };
    building.set(timeline, known);
    return known;
  };
  for (const text of names) {
    const name = readWalName(text);
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
  const timelines = [...building].map(
    ([timeline, { segments, partials, hasHistory }]) =>
      [timeline, { timeline, runs: toRuns(segments), partials: partials.sort((a, b) => a - b), hasHistory }] as const,
  );
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

/** Tells whether a later segment of the same timeline is stored. */
export function hasLater(index: TimelineIndex | undefined, segment: number): boolean {
  return (index?.runs.at(-1)?.last ?? -1) > segment;
}
