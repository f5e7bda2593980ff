import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { formatLsn, parseLsn, type Lsn } from '../core/lsn.ts';
import { readDumpLine, type WalRecord } from '../core/wal-record.ts';
import { start } from '../system/process.ts';

/** Which records of which files to read. The files of `directory` all carry the name of `timeline`. */
export interface DumpRequest {
  /** `/usr/lib/postgresql/15/bin`. */
  readonly binaries: string;
  readonly major: string;
  readonly directory: string;
  readonly timeline: number;
  /** The start of a record, or of a segment in which one begins. */
  readonly from: Lsn;
  /** The end of the last segment in the directory: a record that goes beyond it is left out without a word. */
  readonly to: Lsn;
  /** Every record, or only those by which a restore is decided: a thousandth of the text where the version can filter. */
  readonly all: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** How the WAL ended: at the end of what was asked for, behind a last valid record, or without having had any. */
export type DumpEnd =
  | { readonly at: 'end' }
  | { readonly at: 'none' }
  | { readonly at: 'invalid'; readonly lsn: Lsn; readonly why: string };

const timeoutMs = 30 * 60_000;
// Source: PostgreSQL 15's release notes: -r may be given several times; before, the last one counts.
const firstMajorWithSeveralFilters = 15;

/**
 * Reads records in their order through `pg_waldump` (`pg_xlogdump` below 10); the generator's value says how the WAL ended.
 *
 * Nothing is held: records come as the program prints them. Who stops early stops the program. Fails with `machine`.
 */
export async function* dumpWal(request: DumpRequest): AsyncGenerator<WalRecord, DumpEnd> {
  const { binaries, major, directory, timeline, from, to, all } = request;
  const filters = all || Number(major) < firstMajorWithSeveralFilters ? [] : ['-r', 'XLOG', '-r', 'Transaction'];
  const program = join(binaries, Number(major) < 10 ? 'pg_xlogdump' : 'pg_waldump');
  const args = ['-p', directory, '-t', String(timeline), '-s', formatLsn(from), '-e', formatLsn(to), ...filters];
  const running = start(program, args, { env: { TZ: 'UTC', LC_ALL: 'C' }, timeoutMs, signal: request.signal });
  let finished = false;
  try {
    if (running.stdout !== undefined) {
      for await (const line of createInterface({ input: running.stdout, crlfDelay: Infinity })) {
        const record = readDumpLine(line);
        if (record !== undefined && record.start >= from) yield record;
      }
    }
    const { exitCode, stderr } = await running.ended;
    finished = true;
    return exitCode === 0 ? { at: 'end' } : endSaid(stderr, program, from);
  } finally {
    if (!finished) {
      running.kill('SIGKILL');
      await running.ended;
    }
  }
}

/** Understands why the program stopped before the end; anything but the end of valid WAL is a failure. */
function endSaid(stderr: string, program: string, from: Lsn): DumpEnd {
  const why = stderr.trim().split('\n').at(-1) ?? '';
  const [, place, reason = ''] = /error in WAL record at ([0-9A-F]+\/[0-9A-F]+): (.*)$/.exec(why) ?? [];
  // The place is the last record that was whole; the reason names where the next one would be.
  if (place !== undefined) return { at: 'invalid', lsn: parseLsn(place), why: reason };
  if (why.includes('could not find a valid record after')) return { at: 'none' };
  throw new Failure('machine', `${program} could not read the WAL from ${formatLsn(from)} on: ${why}`);
}
