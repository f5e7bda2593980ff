import type { RestoreService } from '../../src/core/restore-service.ts';
import { formatLsn, type Lsn } from '../../src/core/lsn.ts';
import { historyName, parseWalName, segmentName, segmentStart } from '../../src/core/wal-name.ts';
import { segmentBytes, testIdentifier } from '../setup/wal-unit.ts';
import { historySegmentSize as size } from './history-size.ts';

/** A file of WAL that an incarnation wrote. */
export interface WrittenFile {
  readonly incarnation: number;
  readonly name: string;
  readonly bytes: Buffer;
  /** It was stored under a name that can't be its own. */
  readonly isWrong: boolean;
}

/** Where a timeline of an incarnation begins and ends, in segments; the last one is not finished. */
interface Stretch {
  readonly incarnation: number;
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
  /** The stretch that it left, in its first segment. */
  readonly from: Stretch | undefined;
}

/** Where an incarnation left another one. */
export interface Left {
  readonly incarnation: number;
  readonly timeline: number;
  readonly lsn: Lsn;
}

/** What a history's cluster may have been through. */
export interface Past {
  /** The first segment of the second and third stretch, and of the fourth within what it continues. */
  readonly promotedAt: number;
  readonly leftAt: number;
  readonly leftAgain: number;
  /** The second incarnation's timeline has the number of a timeline that its parent went on to. */
  readonly collides: boolean;
  /** The third incarnation continues the second, or the first's second timeline. */
  readonly continuesSecond: boolean;
  /** Which of the stored segments is of another cluster, or of another place; none when it is out of range. */
  readonly wrong: number;
}

/** What a recovery gets for a name; `fault`: nothing can be said of it. */
export type Due = { readonly is: 'bytes'; readonly bytes: Buffer } | { readonly is: 'absent' | 'fault' };

/** A plan, and what it is to give out: made from the same path, but not from each other. */
export interface HistoryPlan {
  readonly service: Omit<RestoreService, 'repositoryId' | 'url'>;
  /** In the order in which recovery asks. */
  readonly names: readonly string[];
  readonly due: ReadonlyMap<string, Buffer | 'fault'>;
}

/** Which plan. */
export interface PlanChoice {
  readonly of: number;
  readonly start: number;
  readonly short: number;
  /** So much of the last segment; 0 is all of it. */
  readonly part: number;
  readonly withParents: boolean;
  readonly hole: boolean;
}

export const partLengths = [2048, 4096, 6144] as const;

/** All that was ever written: incarnations 1 to 3 over several timelines, with files of one name and other bytes. */
export class RecoveryModel {
  readonly stretches: readonly Stretch[];
  readonly left: ReadonlyMap<number, Left>;
  readonly files = new Map<string, WrittenFile>();
  /** The last file of each stretch, which was not finished for a while. */
  readonly lasts = new Set<string>();

  constructor(past: Past) {
    const one: Stretch = { incarnation: 1, timeline: 1, first: 1, last: 8, from: undefined };
    const two: Stretch = { incarnation: 1, timeline: 2, first: past.promotedAt, last: 9, from: one };
    const timeline = past.collides ? 2 : 3;
    const three: Stretch = { incarnation: 2, timeline, first: past.leftAt, last: 9, from: one };
    const from = past.continuesSecond ? three : two;
    const first = Math.max(past.leftAgain, from.first + 1);
    const four: Stretch = { incarnation: 3, timeline: from.timeline + 1, first, last: first + 3, from };
    this.stretches = [one, two, three, four];
    this.left = new Map([
      [2, leftBy(three)],
      [3, leftBy(four)],
    ]);
    for (const stretch of this.stretches) this.#write(stretch);
    const segments = [...this.files].filter(([, { name }]) => name.length === 24);
    const wrong = segments[past.wrong];
    if (wrong !== undefined) {
      const [key, file] = wrong;
      const { timeline: of, low } = segmentNumbers(file.name);
      const facts = past.wrong % 2 === 0 ? { systemIdentifier: '42' } : { pageNumber: low + 1 };
      const bytes = segmentBytes({ timeline: of, number: low, sizeBytes: size, fill: 'wrong ', ...facts });
      this.files.set(key, { ...file, bytes, isWrong: true });
    }
  }

  #write(stretch: Stretch): void {
    const { incarnation, timeline, first, last, from } = stretch;
    const put = (name: string, bytes: Buffer) => {
      this.files.set(`${incarnation}/${name}`, { incarnation, name, bytes, isWrong: false });
    };
    for (let number = first; number <= last; number += 1) {
      const pageTimeline = number === first && from !== undefined ? from.timeline : timeline;
      const fill = `${incarnation}/${timeline}/${number} `;
      put(segmentName(timeline, number, size), segmentBytes({ timeline, number, pageTimeline, sizeBytes: size, fill }));
    }
    this.lasts.add(`${incarnation}/${segmentName(timeline, last, size)}`);
    if (from === undefined) return;
    const lines: string[] = [];
    for (let at: Stretch = stretch; at.from !== undefined; at = at.from) {
      lines.unshift(`${at.from.timeline}\t${formatLsn(leftBy(at).lsn)}\tof ${incarnation}\n`);
    }
    put(historyName(timeline), Buffer.from(lines.join('')));
    if (from.incarnation !== incarnation) return;
    // What a promotion leaves of the old timeline.
    const fill = `${incarnation}/${from.timeline}/${first} `;
    const old = segmentBytes({ timeline: from.timeline, number: first, sizeBytes: size, fill });
    put(`${segmentName(from.timeline, first, size)}.partial`, old);
  }

  /** The segments on the way to the end of a stretch, oldest first: those of each number, the newest timeline last. */
  #path(end: Stretch): readonly { number: number; on: Stretch }[] {
    const found: { number: number; on: Stretch }[] = [];
    let until = end.last;
    for (let on: Stretch | undefined = end; on !== undefined; on = on.from) {
      for (let number = until; number >= on.first; number -= 1) found.unshift({ number, on });
      until = Math.min(until, on.first - 1);
    }
    return found;
  }

  /** A plan that leads to the end of one of the stretches. */
  plan(choice: PlanChoice): HistoryPlan {
    const end = this.stretches[choice.of % this.stretches.length] ?? this.#first();
    const whole = this.#path(end);
    const path = whole.slice(choice.start % 4, whole.length - (choice.short % 3));
    const last = path.at(-1);
    const listed = path.map(({ number, on }, index) => {
      const isCut = index === path.length - 1 && choice.part > 0;
      return { number, on, part: isCut ? partLengths[choice.part % partLengths.length] : undefined };
    });
    if (choice.withParents) {
      // PostgreSQL asks for the first segment of a timeline under the names of both.
      for (const { number, on } of path) {
        if (on.from !== undefined && number === on.first && number < (last?.number ?? 0) && number <= on.from.last)
          listed.push({ number, on: on.from, part: undefined });
      }
    }
    listed.sort((a, b) => a.number - b.number || b.on.timeline - a.on.timeline);
    const due = new Map<string, Buffer | 'fault'>();
    const segments: RestoreService['segments'] = [];
    const hole = choice.hole ? Math.floor(listed.length / 2) : -1;
    for (const [index, { number, on, part }] of listed.entries()) {
      const name = segmentName(on.timeline, number, size);
      const isBetween = listed.some((each, at) => each.on.timeline === on.timeline && at < index);
      const isBefore = listed.some((each, at) => each.on.timeline === on.timeline && at > index);
      if (index === hole) {
        if (isBetween && isBefore) due.set(name, 'fault');
        continue;
      }
      due.set(name, this.#due(on, name, part));
      const { timeline, incarnation } = on;
      segments.push({ timeline, first: number, last: number, incarnation, ...(part === undefined ? {} : { part }) });
    }
    const histories: RestoreService['histories'] = [];
    for (let on: Stretch = end; on.from !== undefined; on = on.from) {
      const name = historyName(on.timeline);
      histories.push({ timeline: on.timeline, incarnation: on.incarnation });
      due.set(name, this.#due(on, name, undefined));
    }
    const service = { systemIdentifier: testIdentifier, segmentSize: size, segments: joined(segments), histories };
    return { service, names: listed.map(({ number, on }) => segmentName(on.timeline, number, size)), due };
  }

  #first(): Stretch {
    const [first] = this.stretches;
    if (first === undefined) throw new Error('a past without a beginning');
    return first;
  }

  #due(on: Stretch, name: string, part: number | undefined): Buffer | 'fault' {
    const file = this.files.get(`${on.incarnation}/${name}`);
    if (file === undefined || file.isWrong) return 'fault';
    return part === undefined ? file.bytes : beginning(file.bytes, part);
  }

  /**
   * What a recovery without a plan gets for a name, with what is stored now: whatever an incarnation wrote itself, and of each
   * that it comes from what that had when it was left.
   */
  lineage(incarnation: number, name: string, isStandby: boolean, stored: Stored): Due {
    const wal = parseWalName(name);
    for (const keeper of this.#keepers(incarnation, name)) {
      const key = `${keeper}/${name}`;
      const file = this.files.get(key);
      if (file === undefined || !stored.has(key)) continue;
      return file.isWrong ? { is: 'fault' } : { is: 'bytes', bytes: file.bytes };
    }
    if (wal.kind !== 'segment' || isStandby) return { is: 'absent' };
    for (const keeper of this.#keepers(incarnation, name)) {
      // Where a lineage has left an incarnation, the rest of that segment belongs to another future.
      if (keeper !== incarnation && this.#leaves(incarnation, keeper).some(({ timeline }) => timeline <= wal.timeline))
        continue;
      const part = Math.max(0, ...stored.parts(`${keeper}/${name}`));
      const file = this.files.get(`${keeper}/${name}`);
      if (part === 0 || file === undefined) continue;
      return file.isWrong ? { is: 'fault' } : { is: 'bytes', bytes: beginning(file.bytes, part) };
    }
    const later = [...this.files].some(([key, file]) => {
      const other = parseWalName(file.name);
      if (other.kind !== 'segment' || other.timeline !== wal.timeline || file.name <= name) return false;
      const isThere = stored.has(key) || stored.parts(key).length > 0;
      return isThere && this.#keepers(incarnation, file.name).includes(file.incarnation);
    });
    return { is: later ? 'fault' : 'absent' };
  }

  /** The incarnations whose file of this name belongs to the past of one: all who leave on the way have to come later. */
  #keepers(incarnation: number, name: string): readonly number[] {
    const wal = parseWalName(name);
    const start = wal.kind === 'history' ? 0n : segmentStart(wal.low, size);
    const keepers = [incarnation];
    for (let left = this.left.get(incarnation); left !== undefined; left = this.left.get(left.incarnation)) {
      const isBefore = this.#leaves(incarnation, left.incarnation).every(
        ({ timeline, lsn }) =>
          wal.timeline < timeline || (wal.timeline === timeline && (wal.kind !== 'segment' || start < lsn)),
      );
      if (isBefore) keepers.push(left.incarnation);
    }
    return keepers;
  }

  /** Where the past of an incarnation left each on its way back to another. */
  #leaves(incarnation: number, back: number): readonly Left[] {
    const ways: Left[] = [];
    for (let left = this.left.get(incarnation); left !== undefined; left = this.left.get(left.incarnation)) {
      ways.push(left);
      if (left.incarnation === back) break;
    }
    return ways;
  }
}

/** What is stored at a moment, by `<incarnation>/<name>`. */
export interface Stored {
  has(key: string): boolean;
  parts(key: string): readonly number[];
}

function leftBy({ first, from }: Stretch): Left {
  if (from === undefined) throw new Error('the first stretch left none');
  return { incarnation: from.incarnation, timeline: from.timeline, lsn: segmentStart(first, size) + 4096n };
}

/** The beginning of a segment, and zeros behind it. */
function beginning(bytes: Buffer, length: number): Buffer {
  return Buffer.concat([bytes.subarray(0, length), Buffer.alloc(bytes.byteLength - length)]);
}

function segmentNumbers(name: string): { readonly timeline: number; readonly low: number } {
  const wal = parseWalName(name);
  if (wal.kind !== 'segment') throw new Error(`${name} is no segment`);
  return wal;
}

/** Runs of segments with one incarnation. */
function joined(single: RestoreService['segments']): RestoreService['segments'] {
  const runs: RestoreService['segments'] = [];
  for (const each of single.toSorted((a, b) => a.timeline - b.timeline || a.first - b.first)) {
    const last = runs.at(-1);
    const goesOn =
      last !== undefined &&
      last.timeline === each.timeline &&
      last.incarnation === each.incarnation &&
      last.last + 1 === each.first &&
      each.part === undefined;
    if (goesOn) runs[runs.length - 1] = { ...each, first: last.first };
    else runs.push(each);
  }
  return runs;
}
