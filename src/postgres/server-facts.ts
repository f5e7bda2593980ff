import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import type { Cluster } from './cluster.ts';
import { withConnection, type Connection } from './query.ts';

const serverFactsSchema = z.object({
  version: z.coerce.number(),
  recovering: z.boolean(),
  directory: z.string(),
  bytes: z.coerce.number(),
});

/** What a backup has to know of a running server before it begins. */
export interface ServerFacts {
  readonly versionNumber: number;
  readonly isInRecovery: boolean;
  readonly dataDirectory: string;
  /** What all databases take on disk. */
  readonly databaseBytes: number;
}

/** Asks a running server what it is and how large. */
export async function readServerFacts(connection: Connection): Promise<ServerFacts> {
  const [row] = await connection.ask(
    serverFactsSchema,
    `SELECT current_setting('server_version_num') AS version, pg_is_in_recovery() AS recovering,
       current_setting('data_directory') AS directory,
       (SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database) AS bytes`,
  );
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not say what it is');
  return {
    versionNumber: row.version,
    isInRecovery: row.recovering,
    dataDirectory: row.directory,
    databaseBytes: row.bytes,
  };
}

/** What the server's clock says. */
export async function serverTime(connection: Connection): Promise<Date> {
  const [row] = await connection.ask(z.object({ at: z.date() }), 'SELECT clock_timestamp() AS at');
  if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not tell the time');
  return row.at;
}

/** Tells whether a running cluster replays another's WAL, as a standby does. */
export async function isInRecovery(cluster: Cluster): Promise<boolean> {
  return await withConnection(cluster, async (connection) => {
    const [row] = await connection.ask(
      z.object({ recovering: z.boolean() }),
      'SELECT pg_is_in_recovery() AS recovering',
    );
    if (row === undefined) throw new Failure('postgres', 'PostgreSQL does not say what it is');
    return row.recovering;
  });
}
