import { userInfo } from 'node:os';
import pg from 'pg';
import type * as z from 'zod';
import { Failure } from '../../core/failure.ts';
import { postgresFailure, type Address, type Connection } from '../query.ts';

const warningLimit = 100;

/**
 * The SQL session that a backup of the low-level API lives and ends with. No transaction is ever left open in it: some
 * administrators' watchdogs, the legacy charm's among them, end sessions that are idle in one.
 */
export class BackupSession {
  readonly warnings: string[] = [];
  readonly #client: pg.Client;
  readonly #where: string;
  readonly #stop = () => {
    this.#cut(new Failure('machine', 'the backup was stopped'));
  };
  #signal: AbortSignal | undefined;
  #lost: Failure | undefined;
  #isOver = false;

  private constructor(address: Address) {
    this.#where = `${address.socketDirectory}:${address.port}`;
    this.#client = new pg.Client({
      host: address.socketDirectory,
      port: address.port,
      user: userInfo().username,
      database: 'postgres',
      application_name: 'landscape-backup',
      connectionTimeoutMillis: 20_000,
    });
    this.#client.on('error', (error) => {
      this.#lose(error.message);
    });
    this.#client.on('end', () => {
      this.#lose('it was closed');
    });
    this.#client.on('notice', ({ severity, message }) => {
      if (severity === 'WARNING') this.warn(message ?? '');
    });
  }

  /** Connects; the session is cut when the signal aborts. */
  static async open(address: Address, signal: AbortSignal): Promise<BackupSession> {
    const session = new BackupSession(address);
    try {
      await session.#client.connect();
    } catch (error) {
      throw postgresFailure(error, session.#where);
    }
    session.#signal = signal;
    signal.addEventListener('abort', session.#stop);
    if (signal.aborted) session.#stop();
    return session;
  }

  /** Keeps what is worth telling at the end, a hundred lines at most. */
  warn(text: string): void {
    if (this.warnings.length < warningLimit) this.warnings.push(text);
  }

  /** Asks, and waits so long at most. Fails with why the session was lost, where it was. */
  async ask<S extends z.ZodType>(
    limitMs: number,
    schema: S,
    ...[sql, values = []]: AskParameters
  ): Promise<readonly z.output<S>[]> {
    const deadline = setTimeout(() => {
      const what = `PostgreSQL has not answered for ${limitMs / 60_000} minutes: ${sql}`;
      this.#cut(new Failure('postgres', what, { hint: 'Look at the log of PostgreSQL and at its disks.' }));
    }, limitMs);
    try {
      const { rows } = await this.#client.query<Record<string, unknown>>(sql, [...values]);
      return rows.map((row) => schema.parse(row));
    } catch (error) {
      throw this.failure(error);
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Throws when the session was lost: the server has given the backup up, and what is read from now on is of no use. */
  guard(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** What an error means, if the session was lost too: that. */
  failure(error: unknown): Failure {
    return this.#lost ?? postgresFailure(error, this.#where);
  }

  /** Ends the session; a backup that has not ended is given up by the server. */
  async close(): Promise<void> {
    this.#isOver = true;
    this.#signal?.removeEventListener('abort', this.#stop);
    await this.#client.end().catch(() => undefined); // It was closed by the other side already.
  }

  #lose(why: string): void {
    if (this.#isOver) return;
    this.#lost ??= new Failure('postgres', `PostgreSQL at ${this.#where} has given the backup up: ${why}`, {
      hint: 'Whoever ended its connection (pg_terminate_backend, a restart: see the log of PostgreSQL) must leave it alone; then take the backup again.',
    });
  }

  #cut(reason: Failure): void {
    this.#lost ??= reason;
    void this.#client.end().catch(() => undefined); // A question that is being asked fails by it.
  }
}

type AskParameters = Parameters<Connection['ask']> extends [unknown, ...infer Rest] ? Rest : never;
