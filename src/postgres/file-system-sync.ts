import { run } from '../system/process.ts';

const timeoutMs = 3_600_000;
/** Often enough that the disk is never idle while there is something to write, seldom enough to cost nothing. */
const bytesBetween = 256 * 1024 * 1024;

/**
 * Makes whole file systems durable, which is far quicker than file by file, and has the disk begin while there is still more
 * to come. `sync` of coreutils, because Node has no `syncfs(2)`.
 */
export class FileSystemSync {
  readonly #directories: readonly string[];
  #running: Promise<void> | undefined;
  #failed: Error | undefined;
  #begunAt = 0;

  constructor(directories: readonly string[]) {
    this.#directories = [...new Set(directories)];
  }

  /** Told how much has been written so far; begins to make it durable now and then, and does not wait. */
  written(bytes: number): void {
    if (this.#running !== undefined || bytes - this.#begunAt < bytesBetween) return;
    this.#begunAt = bytes;
    this.#running = this.#sync().finally(() => {
      this.#running = undefined;
    });
    // The kernel tells an error of a write once: whoever got it has to pass it on.
    this.#running.catch((error: unknown) => {
      this.#failed ??= error instanceof Error ? error : new Error(String(error));
    });
  }

  /** All that was written before this call is durable when it returns. */
  async finish(): Promise<void> {
    await this.settle();
    if (this.#failed !== undefined) throw this.#failed;
    await this.#sync();
  }

  /** Waits until nothing is under way. */
  async settle(): Promise<void> {
    await this.#running?.catch(() => undefined); // Kept above.
  }

  async #sync(): Promise<void> {
    await run('sync', ['--file-system', '--', ...this.#directories], { timeoutMs });
  }
}
