import { userInfo } from 'node:os';
import pg from 'pg';
import { Failure } from '../core/failure.ts';
import { postgresFailure, type Address } from './query.ts';

/** Connects for replication as this process's user. Fails with `postgres`, naming the line that pg_hba.conf lacks. */
export async function connectReplication(address: Address): Promise<pg.Client> {
  const user = userInfo().username;
  const settings = {
    host: address.socketDirectory,
    port: address.port,
    user,
    application_name: 'landscape-backup',
    connectionTimeoutMillis: 20_000,
    replication: 'true',
  };
  const client = new pg.Client(settings);
  client.on('error', () => undefined); // A connection that breaks fails the query that runs on it.
  try {
    await client.connect();
    return client;
  } catch (error) {
    const failure = postgresFailure(error, `${address.socketDirectory}:${address.port}`);
    const hint = replicationHint(sqlState(error), user) ?? failure.hint;
    throw new Failure('postgres', failure.message, { hint, cause: error });
  }
}

/** The code that PostgreSQL gave its error, if it is one of PostgreSQL's. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

const notAllowed = '28000';

function replicationHint(code: string | undefined, user: string): string | undefined {
  if (code === notAllowed) {
    return `Put the line "local replication ${user} peer" into pg_hba.conf (psql -c 'SHOW hba_file' says where) above any reject, and reload.`;
  }
  if (code === '53300')
    return 'Raise max_wal_senders (a base backup needs one), or end another replication connection.';
  if (code === '42501') return `Give the role the right to it: ALTER ROLE "${user}" REPLICATION.`;
  return undefined;
}

/**
 * Tells whether a replication connection failed because a rule of pg_hba.conf, or the lack of one, refuses it: what the
 * legacy charm's rules do. Every other failure (no such role, no free sender, a server that is down) is something else.
 *
 * Source: ClientAuthentication in PostgreSQL's auth.c; the file's name stands in the message in every language.
 */
export function isRefusedByHba(error: unknown): error is Failure {
  if (!(error instanceof Failure) || sqlState(error.cause) !== notAllowed) return false;
  return error.cause instanceof Error && error.cause.message.includes('pg_hba.conf');
}
