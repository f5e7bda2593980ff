import { Failure, toFailure } from '../core/failure.ts';
import { formatLsn, type Lsn } from '../core/lsn.ts';
import { segmentAt } from '../core/restorable.ts';
import { endOf, type WalRecord } from '../core/wal-record.ts';
import { segmentName, segmentOf, segmentStart } from '../core/wal-name.ts';
import { dumpWal, type DumpRequest } from '../postgres/wal-dump.ts';
import { openWalScratch, type WalScratch, type WalSource } from './wal-scratch.ts';

/** What reads the WAL of one way. */
export interface WalReadRequest extends WalSource {
  /** The programs of the cluster's major version. */
  readonly binaries: string;
  readonly major: string;
  /** The start of a record that is stored. */
  readonly from: Lsn;
  /** Every record, or those only by which a restore is decided. */
  readonly all: boolean;
  /** The first segments may hold nothing but the inside of one record. */
  readonly mayBeEmpty?: boolean;
  /** How many segments are fetched before they are read; 64 MiB of them unless given. */
  readonly windowSegments?: number;
  /** Called with each segment that was fetched, verified and read. */
  readonly onProgress?: ((segment: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const windowBytes = 64 * 1024 * 1024;

/**
 * Reads the records of stored WAL in their order, from a record's start to the last whole record.
 *
 * Each segment is fetched, compared with its seal and its name, and removed again: at most two windows of 64 MiB lie on
 * this machine. A segment stays until the one after it is there too, else the records that cross would be lost. Fails with
 * `damaged` or `missing` and the segment's name. Who stops early leaves nothing behind.
 */
export async function* readWalRecords(request: WalReadRequest): AsyncGenerator<WalRecord, void> {
  const { segmentSize, stretches, from } = request;
  const lastSegment = stretches.at(-1)?.last ?? -1;
  const scratch = await openWalScratch(request);
  const perWindow = request.windowSegments ?? Math.max(2, Math.floor(windowBytes / segmentSize));
  const stopped = { now: false };
  const fetchFrom = async (first: number) =>
    await fetchWindow(request, scratch, { first, last: Math.min(first + perWindow - 1, lastSegment), stopped });
  let fetching: Promise<FetchedWindow> | undefined;
  try {
    fetching = fetchFrom(segmentOf(from, segmentSize));
    let position = from;
    let newest = -1n;
    for (;;) {
      const fetched: FetchedWindow = await fetching;
      const { first, last } = fetched;
      // While this window is read, the next one is fetched.
      fetching = fetched.failure !== undefined || last >= lastSegment ? undefined : fetchFrom(last + 1);
      for await (const record of last < first ? [] : dumpWindow(request, scratch, { from: position, last })) {
        if (record.start <= newest) continue;
        newest = record.start;
        yield record;
      }
      if (fetched.failure !== undefined) throw fetched.failure;
      if (fetching === undefined) return;
      const overlap = await firstNeeded(scratch, last, { segmentSize, lowest: segmentOf(from, segmentSize) });
      await scratch.dropBefore(overlap);
      position = max(from, segmentStart(overlap, segmentSize));
    }
  } finally {
    stopped.now = true;
    await fetching;
    await scratch.remove();
  }
}

/** A window as far as it could be fetched, and why no further. */
interface FetchedWindow {
  readonly first: number;
  /** Below `first` when not even that could be used. */
  readonly last: number;
  readonly failure: Failure | undefined;
}

/**
 * Fetches a window's segments as far as they can be used; never rejects. What lies before one that can't be used is read
 * first: whoever finds there what they look for does not need the damaged one.
 */
async function fetchWindow(
  request: WalReadRequest,
  scratch: WalScratch,
  window: { readonly first: number; readonly last: number; readonly stopped: { readonly now: boolean } },
): Promise<FetchedWindow> {
  const { first, stopped } = window;
  for (let each = first; each <= window.last && !stopped.now; each += 1) {
    try {
      await scratch.fetch(each);
      request.onProgress?.(each);
    } catch (error) {
      return { first, last: each - 1, failure: toFailure(error) };
    }
  }
  return { first, last: window.last, failure: undefined };
}

function max(a: Lsn, b: Lsn): Lsn {
  return a > b ? a : b;
}

/** The segment in which the record begins that is under way at the end of `last`; the one after it when none is. */
async function firstNeeded(
  scratch: WalScratch,
  last: number,
  bounds: { segmentSize: number; lowest: number },
): Promise<number> {
  if ((await scratch.fetch(last + 1)) === 0) return last + 1;
  let segment = last;
  // A record longer than a whole segment leaves segments in which none begins.
  while (segment > bounds.lowest && (await scratch.fetch(segment)) >= roomIn(bounds.segmentSize)) segment -= 1;
  return segment;
}

/** How many bytes of records fit between the page headers of a segment. */
function roomIn(segmentSize: number): number {
  return segmentSize - 40 - (segmentSize / 8192 - 1) * 24;
}

async function* dumpWindow(
  request: WalReadRequest,
  scratch: WalScratch,
  window: { from: Lsn; last: number },
): AsyncGenerator<WalRecord, void> {
  const { segmentSize, stretches } = request;
  const dump: DumpRequest = {
    binaries: request.binaries,
    major: request.major,
    directory: scratch.directory,
    timeline: scratch.timeline,
    from: window.from,
    to: segmentStart(window.last + 1, segmentSize),
    all: request.all,
    signal: request.signal,
  };
  const end = yield* dumpWal(dump);
  if (end.at === 'end') return;
  const at = end.at === 'none' ? window.from : end.lsn;
  const segment = segmentOf(at, segmentSize);
  // In the last segment that is the end of the WAL, and a record that fills segments is not whole before its end is stored.
  if (segment >= (stretches.at(-1)?.last ?? -1) || (end.at === 'none' && request.mayBeEmpty === true)) return;
  const name = segmentName(segmentAt(stretches, segment)?.timeline ?? scratch.timeline, segment, segmentSize);
  throw new Failure(
    'damaged',
    `the WAL can't be read beyond ${formatLsn(at)} in segment ${name}: ${end.at === 'none' ? 'no valid record' : end.why}`,
    {
      hint: 'A restore can go to a point before it, or start from a backup that was taken after it: landscape-backup list-backups.',
    },
  );
}

/**
 * The end of the last whole record that is stored: where recovery to the end will stop.
 *
 * Null when no record is whole, which a way that holds a complete backup rules out.
 */
export async function findEndOfWal(request: Omit<WalReadRequest, 'all' | 'from'>, lowest: Lsn): Promise<Lsn | null> {
  const { segmentSize, stretches } = request;
  const bottom = segmentOf(lowest, segmentSize);
  for (let segment = stretches.at(-1)?.last ?? -1; segment >= bottom; segment -= 1) {
    const from = max(lowest, segmentStart(segment, segmentSize));
    let newest: WalRecord | undefined;
    for await (const record of readWalRecords({ ...request, from, all: true, mayBeEmpty: true })) newest = record;
    if (newest !== undefined) return endOf(newest, segmentSize);
  }
  return null;
}

/** The whole record that begins at a place; undefined when none is stored there. */
export async function recordAt(request: Omit<WalReadRequest, 'all' | 'from'>, at: Lsn): Promise<WalRecord | undefined> {
  const segment = segmentOf(at, request.segmentSize);
  if (segment > (request.stretches.at(-1)?.last ?? -1)) return undefined;
  for await (const record of readWalRecords({ ...request, from: at, all: true })) return record;
  return undefined;
}
