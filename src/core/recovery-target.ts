import { endBefore, type Lsn } from './lsn.ts';
import type { RestoreTarget } from './restore-plan.ts';
import { endOf, highestFloors, startAfter, type WalRecord } from './wal-record.ts';

/** Where recovery will stop, found in the WAL itself. */
export interface FoundStop {
  /** The start of the first record that is not wanted, whether it is stored or not. */
  readonly lsn: Lsn;
  /** The end of the last record that is wanted: where the new timeline will leave. */
  readonly switchLsn: Lsn;
  /** The end of the first unwanted record, which recovery must be able to read; null when it has not been looked at. */
  readonly neededTo: Lsn | null;
}

/** What was learnt while the WAL was read, up to the stop. */
export interface Reading {
  readonly stop: FoundStop | undefined;
  /** The time of the newest commit among the wanted records, in microseconds since 1970. */
  readonly newestCommitMicros: bigint | undefined;
  /** The time of the newest commit or abort that was read, wanted or not. */
  readonly newestMicros: bigint | undefined;
  readonly floors: Readonly<Record<string, number>>;
}

/**
 * Looks for the first unwanted record, by PostgreSQL's own rules, record after record in the order of the WAL.
 *
 * - time: stops before the first commit or abort whose time is later (exclusive: not earlier)
 * - xid: stops after that transaction's commit or abort (exclusive: before it)
 * - name: stops after the restore point
 * - lsn: stops after the first record that begins at or after it (exclusive: before it)
 *
 * Source: xlogrecovery.c, recoveryStopsBefore and recoveryStopsAfter. All of these are the start of a record; so is what the
 * plan writes.
 */
export class StopFinder {
  readonly #target: RestoreTarget;
  readonly #segmentSize: number;
  #stop: FoundStop | undefined;
  #newestCommit: bigint | undefined;
  #newest: bigint | undefined;
  #floors: Readonly<Record<string, number>> = {};

  constructor(target: RestoreTarget, segmentSize: number) {
    this.#target = target;
    this.#segmentSize = segmentSize;
  }

  /** Takes the next record; says whether the search is over. */
  take(record: WalRecord): boolean {
    if (this.#stop !== undefined) return true;
    const { fact } = record;
    const place = this.#decide(record);
    if (fact.is === 'commit' || fact.is === 'abort') this.#newest = later(this.#newest, fact.micros);
    if (place === 'before') {
      this.#stop = {
        lsn: record.start,
        switchLsn: endBefore(record.start, this.#segmentSize),
        neededTo: endOf(record, this.#segmentSize),
      };
      return true;
    }
    if (fact.is === 'commit') this.#newestCommit = later(this.#newestCommit, fact.micros);
    if (fact.is === 'parameters') this.#floors = highestFloors(this.#floors, fact.floors);
    if (place === 'go-on') return false;
    const end = endOf(record, this.#segmentSize);
    this.#stop = { lsn: startAfter(end, this.#segmentSize), switchLsn: end, neededTo: null };
    return true;
  }

  get reading(): Reading {
    return {
      stop: this.#stop,
      newestCommitMicros: this.#newestCommit,
      newestMicros: this.#newest,
      floors: this.#floors,
    };
  }

  #decide({ start, fact }: WalRecord): 'before' | 'after' | 'go-on' {
    const target = this.#target;
    switch (target.to) {
      case 'time': {
        if (fact.is !== 'commit' && fact.is !== 'abort') return 'go-on';
        const wanted = microsOf(target.time);
        return (target.exclusive ? fact.micros >= wanted : fact.micros > wanted) ? 'before' : 'go-on';
      }
      case 'xid':
        if ((fact.is !== 'commit' && fact.is !== 'abort') || fact.xid !== target.xid) return 'go-on';
        return target.exclusive ? 'before' : 'after';
      case 'name':
        return fact.is === 'restore-point' && fact.name === target.name ? 'after' : 'go-on';
      case 'lsn':
        if (start < target.lsn) return 'go-on';
        return target.exclusive ? 'before' : 'after';
      case 'end':
      case 'backup':
        return 'go-on';
    }
  }
}

function later(a: bigint | undefined, b: bigint): bigint {
  return a === undefined || b > a ? b : a;
}

/** An instant in microseconds since 1970. */
export function microsOf(date: Date): bigint {
  return BigInt(date.getTime()) * 1000n;
}

/** The instant of a number of microseconds since 1970, to the millisecond below. */
export function dateOfMicros(micros: bigint): Date {
  return new Date(Number(micros / 1000n));
}
