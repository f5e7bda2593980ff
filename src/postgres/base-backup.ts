import type pg from 'pg';
import { Failure } from '../core/failure.ts';
import { randomName } from '../system/files.ts';
import {
  baseBackupCommand,
  baseBackupDialect,
  type BaseBackupRequest,
  type Compression,
} from './base-backup-command.ts';
import {
  BaseBackupQuery,
  type BackedUpTablespace,
  type BaseBackupEvent,
  type WalPosition,
} from './base-backup-query.ts';
import { postgresFailure, type Address } from './query.ts';
import { connectReplication, sqlState } from './replication.ts';

/** One object that a base backup is made of. Its body is read to its end before the next object is asked for. */
type BaseBackupObject =
  | {
      readonly kind: 'archive';
      /** Null for the data directory itself. */
      readonly oid: number | null;
      readonly location: string | null;
      /** A tar, compressed as the backup says. A chunk is good until the next but two is asked for. */
      readonly body: AsyncIterable<Uint8Array>;
    }
  | { readonly kind: 'manifest'; readonly body: AsyncIterable<Uint8Array> };

/** How a base backup ended. */
export interface BaseBackupEnd extends WalPosition {
  /** PostgreSQL read everything and found pages whose checksums are wrong: the cluster is damaged, the copy is faithful. */
  readonly badPages: boolean;
  /** What the server warned of, at most a hundred lines. */
  readonly warnings: readonly string[];
}

/** A base backup that is running. */
export interface RunningBaseBackup {
  readonly start: WalPosition;
  readonly tablespaces: readonly BackedUpTablespace[];
  /** Where the tars are compressed; `client` means that the bodies are plain and the caller compresses. */
  readonly compression: Compression;
  /** The tars in the server's order, then the manifest where there is one. */
  readonly objects: AsyncIterable<BaseBackupObject>;
  /** How many bytes of files the server has read so far. */
  plainBytes(): number;
  /** Resolves when the server says that all is complete; ask it after the last object. */
  end(): Promise<BaseBackupEnd>;
}

// A fast checkpoint and the look at every file's size come before the first answer.
const startStallMs = 3_600_000;
const streamStallMs = 600_000;
const warningLimit = 100;
const dataCorrupted = 'XX001';

/**
 * Takes a base backup through the replication protocol over the Unix socket: one stream, nothing on this machine's disks.
 *
 * The backup is the server's until `work` has read all objects and `end`; if it throws before, or the signal aborts, the
 * connection is cut and the server gives up. A server without zstd, or without threads in it, is asked again without.
 */
export async function withBaseBackup<T>(
  address: Address,
  versionNumber: number,
  request: BaseBackupRequest,
  signal: AbortSignal,
  work: (backup: RunningBaseBackup) => Promise<T>,
): Promise<T> {
  const attempts = compressions(versionNumber, request.compression);
  for (const [index, compression] of attempts.entries()) {
    try {
      return await attempt(address, versionNumber, { ...request, compression }, signal, work);
    } catch (error) {
      if (index === attempts.length - 1 || !(error instanceof CompressionRefused)) throw error;
    }
  }
  throw new Failure('internal', 'no way to compress a base backup was tried');
}

/** Before anything was sent, the server said that it can't compress like this. */
class CompressionRefused extends Error {}

function compressions(versionNumber: number, wanted: Compression): readonly Compression[] {
  const client: Compression = { where: 'client', level: wanted.level };
  if (wanted.where === 'client' || !baseBackupDialect(versionNumber).serverZstd) return [client];
  return [wanted, { ...wanted, workers: 0 }, client];
}

async function attempt<T>(
  address: Address,
  versionNumber: number,
  request: BaseBackupRequest,
  signal: AbortSignal,
  work: (backup: RunningBaseBackup) => Promise<T>,
): Promise<T> {
  const where = `${address.socketDirectory}:${address.port}`;
  const warnings: string[] = [];
  const client = await connectReplication(address);
  client.on('notice', ({ severity, message }) => {
    if (severity === 'WARNING' && warnings.length < warningLimit) warnings.push(message ?? '');
  });
  const dialect = baseBackupDialect(versionNumber);
  if (request.withWal && dialect.temporarySlots) await reserveWal(client);
  const query = client.query(new BaseBackupQuery(baseBackupCommand(versionNumber, request), dialect.oneCopy));
  const abort = () => {
    query.abort(new Failure('machine', 'the backup was stopped'));
  };
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  let complete = false;
  try {
    const reader = new Reader(query, warnings, dialect.openEndedTars);
    const result = await work(await reader.begin(request));
    complete = true;
    return result;
  } catch (error) {
    throw error instanceof CompressionRefused ? error : explained(postgresFailure(error, where));
  } finally {
    signal.removeEventListener('abort', abort);
    if (!complete) query.abort(new Failure('machine', 'the backup was given up'));
    await client.end().catch(() => undefined); // Cut already, by us or by the server.
  }
}

/**
 * Keeps the server from recycling WAL that the backup will want at its end, as long as this connection lives.
 *
 * Where no slot is free the backup goes on without: should WAL be gone then, the server says so and the backup fails.
 */
async function reserveWal(client: pg.Client): Promise<void> {
  const name = `landscape_backup_${randomName()}`;
  await client.query(`CREATE_REPLICATION_SLOT ${name} TEMPORARY PHYSICAL RESERVE_WAL`).catch(() => undefined);
}

/** What helps against what a server can say in the middle of a backup. */
function explained(failure: Failure): Failure {
  if (!/WAL (segment|file) .*(has already been removed|not found)|could not find any WAL files/.test(failure.message))
    return failure;
  return new Failure(failure.kind, failure.message, {
    hint: 'Raise max_replication_slots by one (10 and later) or wal_keep_size (wal_keep_segments before 13), or turn wal-archiving on.',
    cause: failure.cause,
  });
}

/** Turns the flat row of events into objects with bodies. */
class Reader {
  readonly #query: BaseBackupQuery;
  readonly #warnings: readonly string[];
  readonly #openEndedTars: boolean;
  #ahead: BaseBackupEvent | undefined;
  #stop: WalPosition | undefined;

  constructor(query: BaseBackupQuery, warnings: readonly string[], openEndedTars: boolean) {
    this.#query = query;
    this.#warnings = warnings;
    this.#openEndedTars = openEndedTars;
  }

  async begin(request: BaseBackupRequest): Promise<RunningBaseBackup> {
    const start = await this.#first();
    const tablespaces = await this.#query.next(startStallMs);
    if (start?.is !== 'start' || tablespaces?.is !== 'tablespaces') {
      throw new Failure('postgres', 'a base backup did not begin with its start and its tablespaces');
    }
    return {
      start: start.at,
      tablespaces: tablespaces.all,
      compression: request.compression,
      objects: this.#objects(),
      plainBytes: () => this.#query.plainBytes,
      end: async () => await this.#end(),
    };
  }

  async #first(): Promise<BaseBackupEvent | undefined> {
    try {
      return await this.#query.next(startStallMs);
    } catch (error) {
      const code = sqlState(error);
      const isAboutZstd = error instanceof Error && /zstd|compress/i.test(error.message);
      if (isAboutZstd && (code === '0A000' || code === '22023' || code === '42601'))
        throw new CompressionRefused(error.message);
      throw error;
    }
  }

  async *#objects(): AsyncIterable<BaseBackupObject> {
    for (;;) {
      const event = this.#ahead ?? (await this.#query.next(streamStallMs));
      this.#ahead = undefined;
      if (event?.is === 'end') {
        this.#stop = event.at;
        return;
      }
      if (event?.is === 'archive') {
        yield { kind: 'archive', oid: event.oid, location: event.location, body: this.#tar() };
      } else if (event?.is === 'manifest') {
        yield { kind: 'manifest', body: this.#body() };
      } else {
        throw new Failure('internal', `a base backup said "${event?.is ?? 'nothing'}" between two of its objects`);
      }
    }
  }

  async *#tar(): AsyncIterable<Uint8Array> {
    yield* this.#body();
    if (this.#openEndedTars) yield Buffer.alloc(1024);
  }

  async *#body(): AsyncIterable<Uint8Array> {
    for (;;) {
      const event = await this.#query.next(streamStallMs);
      if (event?.is !== 'data') {
        this.#ahead = event;
        return;
      }
      yield event.bytes;
    }
  }

  async #end(): Promise<BaseBackupEnd> {
    if (this.#stop === undefined)
      throw new Failure('internal', 'the end of a base backup was asked for before its last object');
    let badPages = false;
    try {
      await this.#query.next(streamStallMs);
    } catch (error) {
      // PostgreSQL says so after it has sent everything, the end included. Source: basebackup.c, perform_base_backup.
      if (sqlState(error) !== dataCorrupted) throw error;
      badPages = true;
    }
    return { ...this.#stop, badPages, warnings: this.#warnings };
  }
}
