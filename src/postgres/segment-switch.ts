import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { lsnSchema, type Lsn } from '../core/lsn.ts';
import type { Connection } from './query.ts';

const switchedSchema = z.object({ lsn: lsnSchema });

/**
 * Writes a record and ends its segment, so that the segment before the LSN given back must be archived.
 *
 * A server that was idle since the last switch would do nothing and promise nothing: a commit of ours makes it switch.
 */
export async function switchSegment(connection: Connection, versionNumber: number): Promise<Lsn> {
  await connection.ask(z.unknown(), 'SELECT txid_current()');
  const name = versionNumber < 100_000 ? 'pg_switch_xlog' : 'pg_switch_wal';
  const [row] = await connection.ask(switchedSchema, `SELECT ${name}()::text AS lsn`);
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL did not say where the segment ended');
  return row.lsn;
}

const archiverSchema = z.object({
  archived: z.coerce.number(),
  failed: z.coerce.number(),
  failedName: z.string().nullable(),
  failedAt: z.date().nullable(),
});

/** What the server counts of its archiving since its statistics began; a failure by a signal or above 125 is not in it. */
export type ArchiverCounts = z.infer<typeof archiverSchema>;

/** Asks how archiving goes. */
export async function readArchiverCounts(connection: Connection): Promise<ArchiverCounts> {
  const [row] = await connection.ask(
    archiverSchema,
    `SELECT archived_count AS archived, failed_count AS failed, last_failed_wal AS "failedName", last_failed_time AS "failedAt"
     FROM pg_stat_archiver`,
  );
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not tell how archiving goes');
  return row;
}

const progressSchema = z.object({
  archived: z.coerce.number(),
  lastName: z.string().nullable(),
  lastAt: z.date().nullable(),
  segmentSize: z.coerce.number(),
  written: lsnSchema.nullable(),
});

/** How far archiving has come, as the server counts it since its statistics began. */
export interface ArchiverProgress {
  readonly archived: number;
  readonly last: { readonly name: string; readonly at: Date } | undefined;
  readonly segmentSize: number;
  /** Up to where WAL is written; `undefined` in recovery, where the server writes none of its own. */
  readonly written: Lsn | undefined;
}

/** Asks how far archiving has come. */
export async function readArchiverProgress(
  connection: Connection,
  { versionNumber, isInRecovery }: { readonly versionNumber: number; readonly isInRecovery: boolean },
): Promise<ArchiverProgress> {
  const position = versionNumber < 100_000 ? 'pg_current_xlog_location()' : 'pg_current_wal_lsn()';
  // Before 11 the setting counts pages of 8 kB.
  const [row] = await connection.ask(
    progressSchema,
    `SELECT archived_count AS archived, last_archived_wal AS "lastName", last_archived_time AS "lastAt",
       (SELECT setting::bigint * CASE unit WHEN '8kB' THEN 8192 ELSE 1 END
        FROM pg_settings WHERE name = 'wal_segment_size') AS "segmentSize",
       ${isInRecovery ? 'NULL' : `${position}::text`} AS written
     FROM pg_stat_archiver`,
  );
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not tell how archiving goes');
  const { archived, lastName, lastAt, segmentSize, written } = row;
  const last = lastName === null || lastAt === null ? undefined : { name: lastName, at: lastAt };
  return { archived, last, segmentSize, written: written ?? undefined };
}
