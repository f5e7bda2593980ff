import { endOfRecord, readLsn, type Lsn } from './lsn.ts';
import { segmentOf, segmentStart } from './wal-name.ts';

/** What a record of the WAL says, as far as a restore needs to know. */
export type WalFact =
  /** The end of a transaction; `micros` is its time in microseconds since 1970, as PostgreSQL compares it. */
  | { readonly is: 'commit' | 'abort'; readonly xid: number; readonly micros: bigint }
  | { readonly is: 'restore-point'; readonly name: string }
  /** The settings that recovery needs at least as high, by their names in `postgresql.conf`. */
  | { readonly is: 'parameters'; readonly floors: Readonly<Record<string, number>> }
  | { readonly is: 'switch' }
  | { readonly is: 'other' };

/** One record of the WAL. */
export interface WalRecord {
  readonly start: Lsn;
  /** As the record itself says it: without page headers and without alignment. */
  readonly totalLength: number;
  readonly fact: WalFact;
}

const linePattern =
  /^rmgr: (\S+)\s+len \(rec\/tot\):\s*\d+\/\s*(\d+), tx:\s*(\d+), lsn: ([0-9A-F]+\/[0-9A-F]+), prev [0-9A-F]+\/[0-9A-F]+, desc: (.*)$/;
const endPattern = /^(COMMIT|ABORT)(?:_PREPARED (\d+):)? (\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)\.(\d{6}) UTC/;

// pg_waldump names two of them as pg_control does. Source: xlogdesc.c, xlog_desc.
const settingOfParameter: Readonly<Record<string, string>> = {
  max_connections: 'max_connections',
  max_worker_processes: 'max_worker_processes',
  max_wal_senders: 'max_wal_senders',
  max_prepared_xacts: 'max_prepared_transactions',
  max_locks_per_xact: 'max_locks_per_transaction',
};

/**
 * Reads one line of `pg_waldump` (or `pg_xlogdump`) that ran with `TZ=UTC` and `LC_ALL=C`; `undefined` for a line that is no
 * record (a restore point's name may hold a newline).
 */
export function readDumpLine(line: string): WalRecord | undefined {
  const match = linePattern.exec(line);
  if (match === null) return undefined;
  const [, manager = '', total = '', xid = '', lsnText = '', description = ''] = match;
  const start = readLsn(lsnText);
  if (start === undefined) return undefined;
  return { start, totalLength: Number(total), fact: factOf(manager, Number(xid), description) };
}

function factOf(manager: string, xid: number, description: string): WalFact {
  if (manager === 'Transaction') return transactionFact(xid, description);
  if (manager !== 'XLOG') return { is: 'other' };
  if (description.startsWith('SWITCH')) return { is: 'switch' };
  if (description.startsWith('RESTORE_POINT '))
    return { is: 'restore-point', name: description.slice('RESTORE_POINT '.length) };
  if (!description.startsWith('PARAMETER_CHANGE ')) return { is: 'other' };
  const floors = [...description.matchAll(/(\w+)=(\d+)\b/g)].flatMap(([, name = '', value = '']) => {
    const setting = settingOfParameter[name];
    return setting === undefined ? [] : [[setting, Number(value)] as const];
  });
  return { is: 'parameters', floors: Object.fromEntries(floors) };
}

/** Commits and aborts, of prepared transactions too: nothing else ends recovery by time or transaction id. */
function transactionFact(xid: number, description: string): WalFact {
  const match = endPattern.exec(description);
  if (match === null) return { is: 'other' };
  const [, end, prepared, day = '', second = '', fraction = ''] = match;
  const micros = BigInt(Date.parse(`${day}T${second}Z`)) * 1000n + BigInt(fraction);
  return { is: end === 'COMMIT' ? 'commit' : 'abort', xid: prepared === undefined ? xid : Number(prepared), micros };
}

/** Where a record ends; a segment switch takes the rest of its segment. */
export function endOf(record: WalRecord, segmentSize: number): Lsn {
  if (record.fact.is === 'switch') return segmentStart(segmentOf(record.start, segmentSize) + 1, segmentSize);
  return endOfRecord(record.start, record.totalLength, segmentSize);
}

/** Where the record begins that follows one which ends here: behind the page's header when that is a page's boundary. */
export function startAfter(end: Lsn, segmentSize: number): Lsn {
  if (end % BigInt(segmentSize) === 0n) return end + 40n;
  return end % 8192n === 0n ? end + 24n : end;
}

/** The highest value of each setting among several sets of floors. */
export function highestFloors(...sets: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const highest: Record<string, number> = {};
  for (const set of sets) {
    for (const [name, value] of Object.entries(set)) highest[name] = Math.max(highest[name] ?? 0, value);
  }
  return highest;
}
