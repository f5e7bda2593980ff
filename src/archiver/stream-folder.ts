import { open, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readWalName, segmentNumber, type SegmentName, type WalName } from '../core/wal-name.ts';
import { errorCode, namesIn, syncDirectory } from '../system/files.ts';
import { stateOf } from '../system/file-stamps.ts';

/** A file that `pg_receivewal` has begun and not finished. */
export interface Unfinished {
  readonly segment: SegmentName;
  readonly path: string;
  readonly sizeBytes: number;
}

/** What lies in a folder that WAL is received into, each in the order of the WAL. */
export interface Received {
  readonly finished: readonly SegmentName[];
  readonly unfinished: readonly Unfinished[];
  readonly histories: readonly WalName[];
}

type Place = Pick<SegmentName, 'timeline' | 'log' | 'low'>;

/** By position first: a newer timeline begins inside a segment of the older one. */
function byPosition(a: Place, b: Place): number {
  return a.log - b.log || a.low - b.low || a.timeline - b.timeline;
}

/** Reads a folder; one that is not there is empty. */
export async function readReceived(folder: string): Promise<Received> {
  const names = await namesIn(folder);
  const finished: SegmentName[] = [];
  const unfinished: Unfinished[] = [];
  const histories: WalName[] = [];
  for (const text of names) {
    const name = readWalName(text);
    if (name?.kind === 'segment') finished.push(name);
    if (name?.kind === 'history') histories.push(name);
    if (name?.kind !== 'partial') continue;
    const path = join(folder, text);
    const state = stateOf(path);
    const of = readWalName(text.slice(0, -'.partial'.length));
    // Finished since the folder was read.
    if (state === undefined || of?.kind !== 'segment') continue;
    unfinished.push({ segment: of, path, sizeBytes: Number(state.sizeBytes) });
  }
  return {
    finished: finished.sort(byPosition),
    unfinished: unfinished.sort((a, b) => byPosition(a.segment, b.segment)),
    histories: histories.sort((a, b) => a.timeline - b.timeline),
  };
}

/** The newest file of a folder, whose place decides where `pg_receivewal` goes on. */
export function newest({ finished, unfinished }: Received): { segment: SegmentName; isFinished: boolean } | undefined {
  const [done, open] = [finished.at(-1), unfinished.at(-1)?.segment];
  if (done === undefined) return open === undefined ? undefined : { segment: open, isFinished: false };
  if (open !== undefined && byPosition(open, done) > 0) return { segment: open, isFinished: false };
  return { segment: done, isFinished: true };
}

/** The number of the segment with which `pg_receivewal` would go on; `undefined` where it chooses by itself. */
export function resumesAt(received: Received, segmentSize: number): { segment: number; timeline: number } | undefined {
  const last = newest(received);
  const number = last === undefined ? undefined : segmentNumber(last.segment, segmentSize);
  if (last === undefined || number === undefined) return undefined;
  return { segment: last.isFinished ? number + 1 : number, timeline: last.segment.timeline };
}

/** The number of the oldest segment of a folder; `undefined` where there is none. */
export function firstReceived({ finished, unfinished }: Received, segmentSize: number): number | undefined {
  const [first] = [...finished, ...unfinished.map(({ segment }) => segment)].sort(byPosition);
  return first === undefined ? undefined : segmentNumber(first, segmentSize);
}

/** Makes `pg_receivewal` begin with this segment: it takes an empty beginning of it for one of its own. */
export async function seed(folder: string, segment: string): Promise<void> {
  await writeFile(join(folder, `${segment}.partial`), '', { flag: 'wx', mode: 0o600 });
  await syncDirectory(folder);
}

/** Removes a file that is stored elsewhere; it may be gone. */
export async function forget(folder: string, name: string): Promise<void> {
  await unlink(join(folder, name)).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error;
  });
}

const block = 256 * 1024;
const zeros = Buffer.alloc(block);

/**
 * How much of an unfinished segment is known: up to the last byte that is not zero, rounded up to 8, as records are.
 *
 * It is looked at from its end: whoever writes it writes forwards, so all before that byte is there when it is.
 */
export async function knownLength(path: string, sizeBytes: number): Promise<number> {
  const handle = await open(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(block);
    for (let end = sizeBytes; end > 0; end -= Math.min(block, end)) {
      const start = Math.max(0, end - block);
      const { bytesRead } = await handle.read(buffer, 0, end - start, start);
      // Most of it is, and this is looked at every second: byte by byte it takes more than twice the processor time.
      if (buffer.compare(zeros, 0, bytesRead, 0, bytesRead) === 0) continue;
      for (let at = bytesRead - 1; at >= 0; at -= 1) if (buffer[at] !== 0) return Math.ceil((start + at + 1) / 8) * 8;
    }
    return 0;
  } finally {
    await handle.close();
  }
}
