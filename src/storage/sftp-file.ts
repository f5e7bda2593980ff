import { toFailure } from '../core/failure.ts';
import type { SftpSession } from './sftp-session.ts';

/** What one request carries: as much as OpenSSH takes. */
const pieceBytes = 128 * 1024;
/** How much is under way at once; it bounds memory, and hides the way to the server and back. */
const windowPieces = 24;

/** An open file of a session. */
export interface OpenFile {
  readonly session: SftpSession;
  readonly handle: Buffer;
}

/** Opens a file; `flags` and rights as in the protocol. */
export async function openFile(
  session: SftpSession,
  path: string,
  flags: 'r' | 'wx',
  mode?: number,
): Promise<OpenFile> {
  const handle = await session.ask<Buffer>((sftp, done) =>
    mode === undefined ? sftp.open(path, flags, done) : sftp.open(path, flags, { mode }, done),
  );
  return { session, handle };
}

/** Closes a file; that it can't be closed changes nothing about what was synced or read. */
export async function closeFile({ session, handle }: OpenFile): Promise<void> {
  await session.tell((sftp, done) => sftp.close(handle, done)).catch(() => undefined);
}

/** Writes one body from its beginning, several requests at a time. */
export class FileWriter {
  readonly #file: OpenFile;
  readonly #underWay = new Set<Promise<void>>();
  #position = 0;
  #error: Error | undefined;

  constructor(file: OpenFile) {
    this.#file = file;
  }

  /** Takes a chunk, and waits only while too much is under way. Fails with what an earlier request failed with. */
  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.byteLength; at += pieceBytes) {
      while (this.#underWay.size >= windowPieces) await Promise.race(this.#underWay);
      this.#failIfFailed();
      this.#send(chunk.subarray(at, at + pieceBytes));
    }
  }

  /** Waits until the server has taken everything. */
  async finish(): Promise<void> {
    await Promise.all(this.#underWay);
    this.#failIfFailed();
  }

  #failIfFailed(): void {
    if (this.#error !== undefined) throw this.#error;
  }

  #send(piece: Uint8Array): void {
    const { session, handle } = this.#file;
    const position = this.#position;
    this.#position += piece.byteLength;
    const buffer = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    const sent = session
      .tell((sftp, done) => sftp.write(handle, buffer, 0, buffer.byteLength, position, done))
      .catch((error: unknown) => {
        this.#error ??= error instanceof Error ? error : toFailure(error);
      })
      .finally(() => this.#underWay.delete(sent));
    this.#underWay.add(sent);
  }
}

/** Reads a stretch of an open file in order, several requests ahead; it ends early where the file does. */
export async function* readFile(file: OpenFile, start: number, end: number): AsyncGenerator<Buffer> {
  const ahead: Promise<Buffer>[] = [];
  let asked = start;
  try {
    for (;;) {
      while (ahead.length < windowPieces && asked < end) {
        const length = Math.min(pieceBytes, end - asked);
        const piece = readPiece(file, asked, length);
        piece.catch(() => undefined); // Told when its turn comes, if it comes.
        ahead.push(piece);
        asked += length;
      }
      const next = ahead.shift();
      if (next === undefined) return;
      const piece = await next;
      if (piece.byteLength === 0) return;
      yield piece;
    }
  } finally {
    await Promise.allSettled(ahead); // The handle is closed next, and the buffers must be left alone by then.
  }
}

/** Reads so many bytes, asking again where the server gave less; fewer only at the end of the file. */
async function readPiece({ session, handle }: OpenFile, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const at = filled;
    const got = await session.ask<number>((sftp, done) =>
      sftp.read(handle, buffer, at, length - at, position + at, done),
    );
    if (got === 0) break;
    filled += got;
  }
  return buffer.subarray(0, filled);
}
