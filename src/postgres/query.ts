import { userInfo } from 'node:os';
import pg from 'pg';
import type * as z from 'zod';
import { Failure } from '../core/failure.ts';
import type { Cluster } from './cluster.ts';

/** Where a server listens: a socket directory and a port. */
export type Address = Pick<Cluster, 'socketDirectory' | 'port'>;

/** A connection that is used for a few questions and closed. */
export interface Connection {
  /** Asks one question and parses each row. Fails with `postgres`. */
  ask<S extends z.ZodType>(schema: S, sql: string, values?: readonly unknown[]): Promise<readonly z.output<S>[]>;
}

const statementTimeoutMs = 60_000;

/** Connects over the Unix socket as the user this process runs as (peer), does the work, and closes. */
export async function withConnection<T>(
  address: Address,
  work: (connection: Connection) => Promise<T>,
  options: { database?: string; statementTimeoutMs?: number } = {},
): Promise<T> {
  const client = new pg.Client({
    host: address.socketDirectory,
    port: address.port,
    user: userInfo().username,
    database: options.database ?? 'postgres',
    application_name: 'landscape-backup',
    connectionTimeoutMillis: 20_000,
    statement_timeout: options.statementTimeoutMs ?? statementTimeoutMs,
    query_timeout: (options.statementTimeoutMs ?? statementTimeoutMs) + 5_000,
  });
  client.on('error', () => undefined); // A connection that breaks fails the question that is being asked.
  try {
    await client.connect();
    return await work({
      ask: async (schema, sql, values = []) => {
        const { rows } = await client.query<Record<string, unknown>>(sql, [...values]);
        return rows.map((row) => schema.parse(row));
      },
    });
  } catch (error) {
    throw postgresFailure(error, `${address.socketDirectory}:${address.port}`);
  } finally {
    await client.end().catch(() => undefined); // It was closed by the other side already.
  }
}

/** A failure of kind `postgres` that says what the server said. */
export function postgresFailure(error: unknown, where: string): Failure {
  if (error instanceof Failure) return error;
  const said = error instanceof Error ? error.message : String(error);
  return new Failure('postgres', `PostgreSQL at ${where} said: ${said}`, {
    hint: 'Does the cluster run (pg_lsclusters), and may this user connect by peer (pg_hba.conf)?',
    cause: error,
  });
}
