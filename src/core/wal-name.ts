import { Failure } from './failure.ts';
import type { Lsn } from './lsn.ts';

/** What a file in `pg_wal` that PostgreSQL archives or asks for can be. */
export type WalName =
  | {
      readonly kind: 'segment';
      readonly name: string;
      readonly timeline: number;
      readonly log: number;
      readonly low: number;
    }
  | {
      readonly kind: 'partial';
      readonly name: string;
      readonly timeline: number;
      readonly log: number;
      readonly low: number;
    }
  | {
      readonly kind: 'backup';
      readonly name: string;
      readonly timeline: number;
      readonly log: number;
      readonly low: number;
      readonly offset: number;
    }
  | { readonly kind: 'history'; readonly name: string; readonly timeline: number };

const segmentPattern = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(?:(\.partial)|\.([0-9A-F]{8})\.backup)?$/;
const historyPattern = /^([0-9A-F]{8})\.history$/;

/** Reads the name of a WAL file; `undefined` when PostgreSQL would never use such a name. */
export function readWalName(name: string): WalName | undefined {
  if (name.startsWith('00000000')) return undefined; // Timelines are counted from 1.
  const history = historyPattern.exec(name);
  if (history !== null) return { kind: 'history', name, timeline: hex(history[1]) };
  const segment = segmentPattern.exec(name);
  if (segment === null) return undefined;
  const place = { name, timeline: hex(segment[1]), log: hex(segment[2]), low: hex(segment[3]) };
  if (segment[4] !== undefined) return { kind: 'partial', ...place };
  if (segment[5] !== undefined) return { kind: 'backup', ...place, offset: hex(segment[5]) };
  return { kind: 'segment', ...place };
}

/** The name of a segment. */
export type SegmentName = Extract<WalName, { kind: 'segment' }>;

/** The beginning of a segment that was not finished when it was stored. */
export interface PartName {
  readonly name: string;
  readonly of: SegmentName;
  /** How many bytes it holds; the rest of the segment was zero at that time. */
  readonly length: number;
}

const partPattern = /^([0-9A-F]{24})\.([0-9A-F]{8})\.part$/;

/** Reads the name of a part of a segment: `<segment>.<length in hexadecimal>.part`. */
export function readPartName(name: string): PartName | undefined {
  const match = partPattern.exec(name);
  const of = readWalName(match?.[1] ?? '');
  const length = hex(match?.[2]);
  return of?.kind === 'segment' && length > 0 ? { name, of, length } : undefined;
}

/** The name under which this much of a segment is stored. */
export function partName(segment: SegmentName, length: number): string {
  return `${segment.name}.${toHex(length)}.part`;
}

/** Reads the name of a WAL file or fails with `usage`. */
export function parseWalName(name: string): WalName {
  const wal = readWalName(name);
  if (wal === undefined) {
    throw new Failure('usage', `"${name}" is not the name of a WAL segment, .partial, .backup or .history file`, {
      hint: 'PostgreSQL passes the name as %f; call this program only from archive_command or restore_command.',
    });
  }
  return wal;
}

function hex(text: string | undefined): number {
  return Number.parseInt(text ?? '', 16);
}

function toHex(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}

/** The eight hexadecimal digits by which file names speak of a timeline. */
export function timelineName(timeline: number): string {
  return toHex(timeline);
}

/** The name of a timeline's history file. */
export function historyName(timeline: number): string {
  return `${toHex(timeline)}.history`;
}

/** The sizes that `initdb --wal-segsize` accepts: a power of two from 1 MiB to 1 GiB. */
export function isSegmentSize(bytes: number): boolean {
  return bytes >= 1024 ** 2 && bytes <= 1024 ** 3 && Number.isInteger(Math.log2(bytes));
}

/** How many segments the second part of their names counts before the first goes on: 4 GiB of WAL. */
export function segmentsPerLog(segmentSize: number): number {
  return 2 ** 32 / segmentSize;
}

/** The number of the segment that holds the byte at this LSN, counted from the beginning of the WAL. */
export function segmentOf(lsn: Lsn, segmentSize: number): number {
  return Number(lsn / BigInt(segmentSize));
}

/** The number of the segment that holds the last byte *before* this LSN: an end on a boundary belongs to the segment before. */
export function segmentEndingAt(lsn: Lsn, segmentSize: number): number {
  return segmentOf(lsn === 0n ? 0n : lsn - 1n, segmentSize);
}

/** The LSN of a segment's first byte. */
export function segmentStart(number: number, segmentSize: number): Lsn {
  return BigInt(number) * BigInt(segmentSize);
}

/** The file name of a segment. */
export function segmentName(timeline: number, number: number, segmentSize: number): string {
  const perLog = segmentsPerLog(segmentSize);
  return toHex(timeline) + toHex(Math.floor(number / perLog)) + toHex(number % perLog);
}

/** The same as what a name says. */
export function segmentNamed(timeline: number, number: number, segmentSize: number): SegmentName {
  const perLog = segmentsPerLog(segmentSize);
  const place = { timeline, log: Math.floor(number / perLog), low: number % perLog };
  return { kind: 'segment', name: segmentName(timeline, number, segmentSize), ...place };
}

/** The segment number that a name speaks of; `undefined` when no cluster with this segment size could have made it. */
export function segmentNumber(name: { log: number; low: number }, segmentSize: number): number | undefined {
  const perLog = segmentsPerLog(segmentSize);
  return name.low < perLog ? name.log * perLog + name.low : undefined;
}
