import { z } from 'zod';
import { Failure } from '../core/failure.ts';
import { connectReplication } from './base-backup.ts';
import type { Cluster } from './cluster.ts';
import { postgresFailure, withConnection, type Address, type Connection } from './query.ts';

const identitySchema = z.object({ systemid: z.string(), timeline: z.coerce.number() });

/** Which cluster answers at an address, asked over a replication connection: that such a one is allowed is proven too. */
export async function identifySystem(address: Address): Promise<{ systemIdentifier: string; timeline: number }> {
  const client = await connectReplication(address);
  try {
    const { rows } = await client.query<Record<string, unknown>>('IDENTIFY_SYSTEM');
    const { systemid, timeline } = identitySchema.parse(rows[0]);
    return { systemIdentifier: systemid, timeline };
  } catch (error) {
    throw postgresFailure(error, `${address.socketDirectory}:${address.port}`);
  } finally {
    await client.end().catch(() => undefined); // It was closed by the other side already.
  }
}

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
