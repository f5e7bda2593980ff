import { Failure } from './failure.ts';
import { readLsn } from './lsn.ts';
import type { RestoreTarget } from './restore-plan.ts';

const timePattern = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?$/;
const forms = 'Write end, backup, time=2026-11-24T02:03:04Z, lsn=16/B374D848, name=<restore point> or xid=<number>.';

/**
 * Reads what stands behind `--to`, or fails with `usage` in a sentence that says what to write.
 *
 * A time needs its zone: read in another zone it would be another hour, and nobody would see it until rows are missing.
 */
export function parseTarget(text: string, exclusive: boolean): RestoreTarget {
  const [, kind = text, value] = /^(time|lsn|name|xid)=(.*)$/s.exec(text) ?? [];
  const target = value === undefined ? parseWord(kind, exclusive) : parseValue(kind, value, exclusive);
  if (target.to === 'name' && exclusive)
    throw usage('--exclusive has no meaning with a restore point', 'Leave --exclusive out.');
  return target;
}

function parseWord(text: string, exclusive: boolean): RestoreTarget {
  if (text !== 'end' && text !== 'backup') throw usage(`"${text}" is not a place to restore to`, forms);
  if (exclusive) throw usage(`--exclusive has no meaning with "${text}"`, 'Leave --exclusive out.');
  return { to: text };
}

function parseValue(kind: string, value: string, exclusive: boolean): RestoreTarget {
  switch (kind) {
    case 'time':
      return { to: 'time', time: parseTime(value), exclusive };
    case 'lsn': {
      const lsn = readLsn(value);
      if (lsn === undefined) throw usage(`"${value}" is not an LSN`, 'Write it as PostgreSQL does: lsn=16/B374D848');
      return { to: 'lsn', lsn, exclusive };
    }
    case 'name': {
      // Source: xlogfuncs.c, pg_create_restore_point: MAXFNAMELEN is 64 with its end.
      const bytes = new TextEncoder().encode(value).byteLength;
      if (bytes === 0 || bytes > 63)
        throw usage(`the name of a restore point has 1 to 63 bytes, "${value}" has ${bytes}`, forms);
      return { to: 'name', name: value };
    }
    default:
      return { to: 'xid', xid: parseXid(value), exclusive };
  }
}

function parseXid(value: string): number {
  const xid = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
  // Source: transam.h: the first three are no transactions, and there are 2^32.
  if (!(xid >= 3 && xid < 2 ** 32)) {
    throw usage(
      `"${value}" is not a transaction id`,
      'Write a whole number from 3 to 4294967295, without the epoch: xid=734',
    );
  }
  return xid;
}

function parseTime(value: string): Date {
  const match = timePattern.exec(value);
  const example = 'Write it as in time=2026-11-24T02:03:04Z or time=2026-11-24T03:03:04+01:00';
  if (match === null) throw usage(`"${value}" is not a time in RFC 3339`, `${example}.`);
  const [, day = '', second = '', fraction = '', zone] = match;
  if (zone === undefined) throw usage(`the time "${value}" has no zone`, `${example}; Z means UTC.`);
  if (/[1-9]/.test(fraction.slice(3))) {
    throw usage(
      `the time "${value}" is finer than a millisecond`,
      'Round it yourself, or name the transaction: xid=<number>',
    );
  }
  const time = new Date(`${day}T${second}.${fraction.slice(0, 3).padEnd(3, '0')}${zone.toUpperCase()}`);
  // A day that its month does not have would be read as one of the next month.
  if (Number.isNaN(time.getTime()) || !exists(day))
    throw usage(`"${value}" is no day and time that exists`, `${example}.`);
  return time;
}

function exists(day: string): boolean {
  const read = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(read.getTime()) && read.toISOString().startsWith(day);
}

function usage(message: string, hint: string): Failure {
  return new Failure('usage', message, { hint });
}
