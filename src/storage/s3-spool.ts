import { createHash } from 'node:crypto';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Failure } from '../core/failure.ts';
import { errorCode, randomName } from '../system/files.ts';
import { makePrivateFolder } from '../system/home.ts';
import { usedUp } from '../system/memory.ts';
import { atPace, type Pace } from './pace.ts';

const readBytes = 1024 * 1024;

/** A file of this machine that holds one object on its way. It has no name: whatever becomes of us, nothing of it stays. */
export class Spool {
  readonly #handle: FileHandle;
  readonly #folder: string;
  readonly #hash = createHash('sha256');
  #sizeBytes = 0;

  private constructor(handle: FileHandle, folder: string) {
    this.#handle = handle;
    this.#folder = folder;
  }

  static async open(folder: string): Promise<Spool> {
    const path = join(folder, `.spool-${randomName()}.tmp`);
    try {
      await makePrivateFolder(folder);
      const handle = await open(path, 'wx+', 0o600);
      await unlink(path);
      return new Spool(handle, folder);
    } catch (error) {
      throw machineFailure(error, folder);
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    let written = 0;
    try {
      while (written < bytes.byteLength) {
        const left = bytes.subarray(written);
        written += (await this.#handle.write(left, 0, left.byteLength, this.#sizeBytes + written)).bytesWritten;
      }
    } catch (error) {
      throw machineFailure(error, this.#folder);
    }
    this.#sizeBytes += bytes.byteLength;
  }

  /** The SHA-256 of all bytes, as hexadecimal text; afterwards nothing can be written. */
  digest(): string {
    return this.#hash.digest('hex');
  }

  /** All bytes from the beginning; may be called again. */
  read(pace: Pace | undefined): Readable {
    return Readable.from(atPace(this.#bytes(), pace), { objectMode: false });
  }

  /** A stream that the handle makes itself closes it at the first error, whatever it is told. */
  async *#bytes(): AsyncGenerator<Buffer> {
    for (let at = 0; at < this.#sizeBytes;) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, this.#sizeBytes - at));
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.byteLength, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
      usedUp(bytesRead);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function machineFailure(error: unknown, folder: string): Failure {
  return new Failure(
    'machine',
    `an object could not be kept in ${folder} on its way: ${errorCode(error) ?? String(error)}`,
    {
      hint: 'Make room there: this store takes long objects only in one request, so they pass through a file.',
      cause: error,
    },
  );
}
