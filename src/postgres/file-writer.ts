import { open, type FileHandle } from 'node:fs/promises';
import { Failure } from '../core/failure.ts';
import { errorCode } from '../system/files.ts';

/** Together with what the decompressor holds this stays far below what a program of ours may take. */
const mostBytesInFlight = 8 * 1024 * 1024;
const mostFilesOpen = 32;

/** A file that is being written; the order of its stretches does not matter to the disk. */
export interface WritingFile {
  /** Writes the next stretch. Returns when there is room for another, not when it is written. */
  write(bytes: Buffer): Promise<void>;
  /** There is no more of it. Returns before it is closed. */
  end(): void;
}

/** Writes files with several writes under way at once. The first error fails the next call, and `finish`. */
export class FileWriter {
  #bytes = 0;
  #files = 0;
  #failed: Failure | undefined;
  readonly #unended = new Set<() => void>();
  #wake: (() => void) | undefined;

  /** Creates a file. It must not exist. */
  async create(path: string, mode: number): Promise<WritingFile> {
    await this.#until(() => this.#files < mostFilesOpen);
    this.#files += 1;
    const opened = open(path, 'wx', mode);
    const writes: Promise<void>[] = [];
    let position = 0;
    opened.catch(() => undefined); // Told by `#close`, which waits for it too.
    const end = () => {
      if (this.#unended.delete(end)) void this.#close(opened, path, writes);
    };
    this.#unended.add(end);
    return {
      write: async (bytes) => {
        const at = position;
        position += bytes.length;
        this.#bytes += bytes.length;
        writes.push(this.#write(opened, path, bytes, at));
        await this.#until(() => this.#bytes < mostBytesInFlight);
      },
      end,
    };
  }

  /** Waits until every file is written and closed. */
  async finish(): Promise<void> {
    await this.#until(() => this.#files === 0);
  }

  /** Closes what is open and waits until nothing is under way, whatever failed. Nothing is left to do after `finish`. */
  async abandon(): Promise<void> {
    for (const end of this.#unended) end();
    while (this.#files > 0) await this.#change();
  }

  async #write(opened: Promise<FileHandle>, path: string, bytes: Buffer, at: number): Promise<void> {
    try {
      const handle = await opened;
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done);
        done += bytesWritten;
      }
    } catch (error) {
      this.#failed ??= writeFailure(path, error);
    }
    this.#bytes -= bytes.length;
    this.#tell();
  }

  async #close(opened: Promise<FileHandle>, path: string, writes: readonly Promise<void>[]): Promise<void> {
    try {
      await Promise.all(writes);
      await (await opened).close();
    } catch (error) {
      this.#failed ??= writeFailure(path, error);
    }
    this.#files -= 1;
    this.#tell();
  }

  async #until(isTrue: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failed !== undefined) throw this.#failed;
      if (isTrue()) return;
      await this.#change();
    }
  }

  async #change(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  #tell(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

function writeFailure(path: string, error: unknown): Failure {
  const code = errorCode(error);
  return new Failure('machine', `${path} could not be written: ${code ?? String(error)}`, {
    hint:
      code === 'ENOSPC' || code === 'EDQUOT'
        ? 'Make room on its file system, then: landscape-backup restore --continue. Or go back: landscape-backup abandon-restore.'
        : 'Then go on with landscape-backup restore --continue, or go back with landscape-backup abandon-restore.',
    cause: error,
  });
}
