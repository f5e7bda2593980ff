import { z } from 'zod';
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
