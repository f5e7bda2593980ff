import * as z from 'zod';
import { Failure } from './failure.ts';

/** A position in the WAL, in bytes from its beginning; PostgreSQL writes it as `16/B374D848`. */
export type Lsn = bigint;

const lsnPattern = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** Reads `16/B374D848`; `undefined` when it is something else. */
export function readLsn(text: string): Lsn | undefined {
  const match = lsnPattern.exec(text);
  if (match === null) return undefined;
  const [, high = '', low = ''] = match;
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

/** Reads an LSN that a program of ours or PostgreSQL wrote; anything else is a `damaged` failure that names it. */
export function parseLsn(text: string): Lsn {
  const lsn = readLsn(text);
  if (lsn === undefined) throw new Failure('damaged', `"${text}" is not an LSN such as 16/B374D848`);
  return lsn;
}

/** Writes an LSN as PostgreSQL does. */
export function formatLsn(lsn: Lsn): string {
  const high = (lsn >> 32n).toString(16).toUpperCase();
  const low = (lsn & 0xffff_ffffn).toString(16).toUpperCase();
  return `${high}/${low}`;
}

/** An LSN as JSON carries it: text outside, `bigint` inside. */
export const lsnSchema = z.codec(z.string().regex(lsnPattern), z.bigint(), {
  decode: (text) => parseLsn(text),
  encode: (lsn) => formatLsn(lsn),
});

const pageSize = 8192n;
const shortPageHeader = 24n;
const longPageHeader = 40n;

/**
 * Where a record that begins here was preceded: the end of the record before it.
 *
 * PostgreSQL names the end of a record that fills its page by the page's boundary, but the start of the next one lies
 * after that page's header (24 bytes, 40 on a segment's first page). Source: xlog_internal.h, tried on 15.
 */
export function endBefore(start: Lsn, segmentSize: number): Lsn {
  const inPage = start % pageSize;
  const inSegment = start % BigInt(segmentSize);
  if (inSegment < pageSize) return inPage <= longPageHeader ? start - inPage : start;
  return inPage <= shortPageHeader ? start - inPage : start;
}

/**
 * The end of a record, as the `.history` file of a timeline that leaves there would say it.
 *
 * A record is aligned to 8 bytes and interrupted by a header on every page that it enters.
 */
export function endOfRecord(start: Lsn, totalLength: number, segmentSize: number): Lsn {
  let position = start;
  let left = BigInt(totalLength);
  while (left > 0n) {
    const pageStart = position - (position % pageSize);
    if (position === pageStart) {
      position += pageStart % BigInt(segmentSize) === 0n ? longPageHeader : shortPageHeader;
    }
    const room = pageStart + pageSize - position;
    const taken = left < room ? left : room;
    position += taken;
    left -= taken;
  }
  return (position + 7n) & ~7n;
}
