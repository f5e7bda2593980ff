import * as fc from 'fast-check';
import type { Backup } from '../../src/core/backup.ts';
import type { IncarnationCatalogue } from '../../src/core/catalogue.ts';
import type { Mark } from '../../src/core/record.ts';
import type { TimelineSwitch } from '../../src/core/timeline.ts';
import { backup, daysAgo, hourMs, incarnation, lsnIn, now } from './catalogue-builder.ts';

/** One thing that happens in the life of a cluster, so many hours after the one before. */
export type Step = { readonly hours: number } & (
  | { readonly do: 'write'; readonly segments: number }
  | { readonly do: 'lose'; readonly segments: number }
  | { readonly do: 'back-up'; readonly withWal: boolean; readonly segments: number }
  | { readonly do: 'promote' }
  | { readonly do: 'restore-in-place'; readonly to: number }
  | { readonly do: 'mark'; readonly mark: Mark['mark']; readonly backup: number }
);

const hours = fc.integer({ min: 1, max: 40 });
const segments = fc.integer({ min: 1, max: 6 });

/** Stories of backups, WAL, holes, promotions, restores in place and marks. */
export const story: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        hours,
        do: fc.constant('back-up' as const),
        withWal: fc.nat(9).map((n) => n === 0),
        segments,
      }),
    },
    { weight: 5, arbitrary: fc.record({ hours, do: fc.constant('write' as const), segments }) },
    { weight: 1, arbitrary: fc.record({ hours, do: fc.constant('lose' as const), segments }) },
    { weight: 1, arbitrary: fc.record({ hours, do: fc.constant('promote' as const) }) },
    { weight: 1, arbitrary: fc.record({ hours, do: fc.constant('restore-in-place' as const), to: fc.nat() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        hours,
        do: fc.constant('mark' as const),
        mark: fc.constantFrom<Mark['mark']>('damaged', 'pinned', 'unpinned', 'deleting'),
        backup: fc.nat(),
      }),
    },
  ),
  { minLength: 5, maxLength: 60 },
);

/** A stretch of the way to a moment: on this branch up to this segment. */
interface Stretch {
  readonly incarnation: number;
  readonly timeline: number;
  readonly from: number;
}

/** A moment of the story: when it was, and on which way at which segment. */
export interface Moment {
  readonly at: Date;
  readonly way: readonly Stretch[];
  readonly segment: number;
}

/** What a story leaves behind. */
export interface Told {
  readonly incarnations: readonly IncarnationCatalogue[];
  readonly current: { readonly incarnation: number; readonly timeline: number };
  readonly moments: readonly Moment[];
}

interface Draft {
  readonly number: number;
  readonly parent: IncarnationCatalogue['owner']['parent'];
  readonly since: Date;
  readonly backups: Backup[];
  readonly stored: Map<number, Set<number>>;
  readonly histories: Record<number, readonly TimelineSwitch[]>;
}

/** A cluster's life while it is told. */
class Life {
  readonly drafts: Draft[] = [
    { number: 1, parent: null, since: daysAgo(1000), backups: [], stored: new Map(), histories: {} },
  ];
  readonly marks = new Map<string, Mark['mark'][]>();
  readonly moments: Moment[] = [];
  hoursLeft: number;
  #way: readonly Stretch[] = [{ incarnation: 1, timeline: 1, from: 0 }];
  #segment = 0;
  #newestTimeline = 1;

  constructor(hoursLeft: number) {
    this.hoursLeft = hoursLeft;
  }

  get draft(): Draft {
    const found = this.drafts.at(-1);
    if (found === undefined) throw new Error('a story without an incarnation');
    return found;
  }

  get tip(): Stretch {
    const found = this.#way.at(-1);
    if (found === undefined) throw new Error('a way without an end');
    return found;
  }

  write(count: number, isStored: boolean, earlierMs = 0): void {
    const { timeline } = this.tip;
    for (let each = 0; each < count; each += 1) {
      const stored = this.draft.stored.get(timeline) ?? new Set();
      if (isStored) stored.add(this.#segment);
      this.draft.stored.set(timeline, stored);
      const at = new Date(daysAgo(this.hoursLeft / 24).getTime() - earlierMs);
      this.moments.push({ at, way: this.#way, segment: this.#segment });
      this.#segment += 1;
    }
  }

  promote(): void {
    const history = this.#way.map((stretch, place): TimelineSwitch => {
      const next = this.#way[place + 1];
      return { parent: stretch.timeline, at: lsnIn(next?.from ?? this.#segment, 1000) };
    });
    this.#newestTimeline += 1;
    const timeline = this.#newestTimeline;
    this.#way = [...this.#way, { incarnation: this.draft.number, timeline, from: this.#segment }];
    this.draft.histories[timeline] = history;
  }

  backUp(withWal: boolean, segmentCount: number): void {
    const [segment, lastSegment] = [this.#segment, this.#segment + segmentCount];
    const place = { timeline: this.tip.timeline, incarnation: this.draft.number };
    this.draft.backups.push(backup({ daysAgo: this.hoursLeft / 24, segment, lastSegment, withWal, ...place }));
    this.write(segmentCount, true, 30_000); // While it ran, so before it stopped.
  }

  mark(which: number, mark: Mark['mark']): void {
    const all = this.drafts.flatMap(({ backups }) => backups);
    const marked = all[which % Math.max(1, all.length)];
    if (marked !== undefined) this.marks.set(marked.id, [...(this.marks.get(marked.id) ?? []), mark]);
  }

  restoreInPlace(to: number): void {
    const moment = this.moments[to % Math.max(1, this.moments.length)];
    const left = moment?.way.at(-1);
    if (moment === undefined || left === undefined) return;
    this.#way = moment.way;
    this.#segment = moment.segment;
    const parent = { incarnation: left.incarnation, timeline: left.timeline, lsn: lsnIn(this.#segment, 1000) };
    const [number, since] = [this.draft.number + 1, daysAgo(this.hoursLeft / 24)];
    this.drafts.push({ number, parent, since, backups: [], stored: new Map(), histories: {} });
    this.promote();
  }
}

/** Tells a story; its end is an hour before `now`. */
export function tell(steps: readonly Step[]): Told {
  const life = new Life(steps.reduce((sum, step) => sum + step.hours, 1));
  for (const step of steps) {
    life.hoursLeft -= step.hours;
    if (step.do === 'write' || step.do === 'lose') life.write(step.segments, step.do === 'write');
    if (step.do === 'promote') life.promote();
    if (step.do === 'back-up') life.backUp(step.withWal, step.segments);
    if (step.do === 'mark') life.mark(step.backup, step.mark);
    if (step.do === 'restore-in-place') life.restoreInPlace(step.to);
  }
  return {
    incarnations: life.drafts.map((each) => toCatalogue(each, life.marks)),
    current: { incarnation: life.tip.incarnation, timeline: life.tip.timeline },
    moments: life.moments,
  };
}

function toCatalogue(
  { number, parent, since, backups, stored, histories }: Draft,
  marks: ReadonlyMap<string, readonly Mark['mark'][]>,
) {
  const wal = Object.fromEntries(
    [...stored].map(([timeline, set]) => [timeline, [...set].map((each) => [each, each] as const)]),
  );
  return incarnation({ number, parent, since, backups, wal, histories, marks: Object.fromEntries(marks) });
}

/** Which segments are stored, as `incarnation/timeline/segment`. */
export function storedIn(incarnations: readonly IncarnationCatalogue[]): ReadonlySet<string> {
  const stored = new Set<string>();
  for (const { number, wal } of incarnations) {
    for (const { timeline, runs } of wal.timelines.values()) {
      for (const { first, last } of runs) {
        for (let segment = first; segment <= last; segment += 1) stored.add(`${number}/${timeline}/${segment}`);
      }
    }
  }
  return stored;
}

/** By walking segment for segment: is there a backup from which this moment can be reached? */
export function isRestorable(
  { at, way, segment }: Moment,
  incarnations: readonly IncarnationCatalogue[],
  stored: Pick<ReadonlySet<string>, 'has'>,
): boolean {
  const onWay = (each: number): Stretch | undefined => way.findLast(({ from }) => from <= each);
  return incarnations.some(({ number, backups }) =>
    backups.some((each) => {
      const place = way.findIndex(({ incarnation: of, timeline }) => of === number && timeline === each.timeline);
      const next = way[place + 1];
      if (place < 0 || each.withWal || each.stoppedAt > at) return false;
      if (next !== undefined && each.stopLsn > lsnIn(next.from, 1000)) return false;
      const start = Number(each.startLsn / BigInt(each.segmentSize));
      const stop = Number(each.stopLsn / BigInt(each.segmentSize));
      if (stop > segment + 1) return false;
      for (let step = start; step <= segment; step += 1) {
        const stretch = onWay(step);
        if (stretch === undefined || !stored.has(`${stretch.incarnation}/${stretch.timeline}/${step}`)) return false;
      }
      return true;
    }),
  );
}

/** The window that a policy promises at `now`. */
export function isInside(at: Date, days: number): boolean {
  return at.getTime() >= now.getTime() - days * 24 * hourMs;
}
