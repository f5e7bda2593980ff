import type { Connection, Submittable } from 'pg';
import { Failure, toFailure } from '../core/failure.ts';
import { parseLsn, type Lsn } from '../core/lsn.ts';

/** A place in the WAL as a base backup tells it. */
export interface WalPosition {
  readonly lsn: Lsn;
  readonly timeline: number;
}

/** A tablespace, or the data directory itself (`oid` null), with what the server thinks its files take. */
export interface BackedUpTablespace {
  readonly oid: number | null;
  readonly location: string | null;
  readonly estimatedBytes: number;
}

/** What a base backup says, in the order in which it says it. */
export type BaseBackupEvent =
  | { readonly is: 'start'; readonly at: WalPosition }
  | { readonly is: 'tablespaces'; readonly all: readonly BackedUpTablespace[] }
  | { readonly is: 'archive'; readonly oid: number | null; readonly location: string | null }
  | { readonly is: 'manifest' }
  | { readonly is: 'data'; readonly bytes: Uint8Array }
  | { readonly is: 'end'; readonly at: WalPosition };

type Row = readonly (string | null)[];

const blockBytes = 1024 * 1024;
/** The socket rests above the first and goes on below the second: this bounds what a slow destination costs in memory. */
const pauseAtBytes = 8 * blockBytes;
const resumeAtBytes = 4 * blockBytes;

/**
 * One `BASE_BACKUP` on a connection of node-postgres, which calls the `handle…` methods for each message.
 *
 * The bytes of a message are good until the next one only, so they are copied, into large blocks.
 * Source: protocol-replication.html, "BASE_BACKUP"; node-postgres, client.js.
 */
export class BaseBackupQuery implements Submittable {
  readonly #text: string;
  readonly #oneCopy: boolean;
  #connection: Connection | undefined;
  readonly #events: BaseBackupEvent[] = [];
  #queuedBytes = 0;
  #paused = false;
  #ended: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;
  #block = Buffer.alloc(0);
  #filled = 0;
  #rows: Row[] = [];
  #answers = 0;
  #tablespaces: readonly BackedUpTablespace[] = [];
  #copies = 0;
  #reported = 0;
  #received = 0;

  constructor(text: string, oneCopy: boolean) {
    this.#text = text;
    this.#oneCopy = oneCopy;
  }

  /** How many bytes of files the server has read so far. */
  get plainBytes(): number {
    return this.#oneCopy ? this.#reported : this.#received;
  }

  /** The next event; `undefined` when the command has succeeded. Fails with what the server said, after all that came before. */
  async next(stallMs: number): Promise<BaseBackupEvent | undefined> {
    const deadline = setTimeout(() => {
      this.abort(
        new Failure('postgres', `PostgreSQL has sent nothing for ${stallMs / 60_000} minutes of a base backup`, {
          hint: 'Look at the log of PostgreSQL and at its disks.',
        }),
      );
    }, stallMs);
    try {
      for (;;) {
        const event = this.#events.shift();
        if (event !== undefined) return this.#taken(event);
        if (this.#ended?.error !== undefined) throw this.#ended.error;
        if (this.#ended !== undefined) return undefined;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Ends the connection at once; whoever waits gets the reason. The server notices at its next write. */
  abort(reason: Error): void {
    this.#finish(reason);
    this.#connection?.stream.destroy();
  }

  submit(connection: Connection): void {
    this.#connection = connection;
    connection.on('copyOutResponse', () => {
      this.#copyBegins();
    });
    connection.on('copyDone', () => {
      this.#flush();
    });
    connection.query(this.#text);
  }

  handleRowDescription(): void {
    this.#rows = [];
  }

  handleDataRow(message: { readonly fields: Row }): void {
    this.#rows.push(message.fields);
  }

  handleCommandComplete(): void {
    this.#guard(() => {
      this.#answer(this.#rows);
      this.#rows = [];
    });
  }

  handleCopyData(message: { readonly chunk: Buffer }): void {
    this.#guard(() => {
      if (this.#oneCopy) this.#typed(message.chunk);
      else {
        this.#received += message.chunk.byteLength;
        this.#append(message.chunk);
      }
    });
  }

  handleError(error: Error): void {
    this.#finish(error);
  }

  handleReadyForQuery(): void {
    this.#finish(undefined);
  }

  /** The answers of a base backup: its start, its tablespaces, its end; the last command completes without rows. */
  #answer(rows: readonly Row[]): void {
    if (rows.length === 0) return;
    this.#answers += 1;
    if (this.#answers === 1) this.#push({ is: 'start', at: position(rows) });
    else if (this.#answers === 2) {
      this.#tablespaces = rows.map(toTablespace);
      this.#push({ is: 'tablespaces', all: this.#tablespaces });
    } else this.#push({ is: 'end', at: position(rows) });
  }

  /** Without types each COPY is one tar in the order of the tablespaces, and the one after the last is the manifest. */
  #copyBegins(): void {
    if (this.#oneCopy) return;
    const tablespace = this.#tablespaces[this.#copies];
    this.#copies += 1;
    if (tablespace === undefined) this.#push({ is: 'manifest' });
    else this.#push({ is: 'archive', oid: tablespace.oid, location: tablespace.location });
  }

  #typed(chunk: Buffer): void {
    switch (String.fromCharCode(chunk[0] ?? 0)) {
      case 'd':
        this.#append(chunk.subarray(1));
        return;
      case 'p':
        this.#reported = Number(chunk.readBigInt64BE(1));
        return;
      case 'n':
        this.#flush();
        this.#push(toArchive(chunk.subarray(1)));
        return;
      case 'm':
        this.#flush();
        this.#push({ is: 'manifest' });
        return;
      default:
        throw new Failure('postgres', `a base backup holds a message of the unknown type ${chunk[0] ?? 'none'}`);
    }
  }

  #append(bytes: Buffer): void {
    let left = bytes;
    while (left.byteLength > 0) {
      if (this.#filled === this.#block.byteLength) {
        this.#flush();
        this.#block = Buffer.allocUnsafeSlow(blockBytes);
      }
      const taken = left.copy(this.#block, this.#filled);
      this.#filled += taken;
      left = left.subarray(taken);
    }
  }

  #flush(): void {
    if (this.#filled > 0) this.#push({ is: 'data', bytes: this.#block.subarray(0, this.#filled) });
    this.#block = Buffer.alloc(0);
    this.#filled = 0;
  }

  #push(event: BaseBackupEvent): void {
    this.#events.push(event);
    if (event.is === 'data') this.#queuedBytes += event.bytes.byteLength;
    if (this.#queuedBytes > pauseAtBytes && !this.#paused) {
      this.#paused = true;
      this.#connection?.stream.pause();
    }
    this.#wake?.();
  }

  #taken(event: BaseBackupEvent): BaseBackupEvent {
    if (event.is === 'data') this.#queuedBytes -= event.bytes.byteLength;
    if (this.#paused && this.#queuedBytes < resumeAtBytes) {
      this.#paused = false;
      this.#connection?.stream.resume();
    }
    return event;
  }

  #finish(error: Error | undefined): void {
    this.#ended ??= { error };
    this.#wake?.();
  }

  /** An exception in a handler would end the process: it comes out of `next` instead. */
  #guard(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.abort(toFailure(error));
    }
  }
}

function position(rows: readonly Row[]): WalPosition {
  const [lsn, timeline] = rows[0] ?? [];
  return { lsn: parseLsn(lsn ?? ''), timeline: Number(timeline) };
}

function toTablespace([oid, location, kilobytes]: Row): BackedUpTablespace {
  return {
    oid: oid === null || oid === undefined ? null : Number(oid),
    location: location ?? null,
    estimatedBytes: Number(kilobytes ?? 0) * 1024,
  };
}

/** The name of the tar (`base.tar.zst`, `16384.tar.zst`) and the tablespace's path, each ended by a zero byte. */
function toArchive(bytes: Buffer): BaseBackupEvent {
  const [name = '', location = ''] = bytes.toString('utf8').split('\0');
  const oid = /^(\d+)\.tar/.exec(name)?.[1];
  return { is: 'archive', oid: oid === undefined ? null : Number(oid), location: location === '' ? null : location };
}
