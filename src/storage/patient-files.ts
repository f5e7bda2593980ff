import type { Dirent, Stats } from 'node:fs';
import {
  access,
  chmod,
  link,
  mkdir,
  open,
  readdir,
  rmdir,
  stat,
  statfs,
  unlink,
  type FileHandle,
} from 'node:fs/promises';
import { Failure } from '../core/failure.ts';
import { syncDirectory } from '../system/files.ts';

/** How long a file system may take: to answer a question, and to take or sync bytes. */
export interface FilePatience {
  readonly askMs: number;
  readonly writeMs: number;
}

/** An NFS server that is started again is often back by then; a disk that is only busy always is. */
export const usualFilePatience: FilePatience = { askMs: 120_000, writeMs: 300_000 };

/** What waits for an answer that is overdue, of all who use a destination in this process. */
interface Silence {
  overdue: number;
  /** Done when the destination answers again. */
  readonly after: (() => void)[];
}

const silences = new Map<string, Silence>();

/**
 * The calls of `node:fs` that a destination needs, each with a bound: where a mount hangs, its requests never come back.
 *
 * A request can't be taken back and holds one of the few threads that all file requests of a process share, those to its own
 * disk too. So no other is begun while one is overdue: each fails at once, with the same words, until that one is answered.
 */
export class PatientFiles {
  readonly #url: string;
  readonly #patience: FilePatience;

  constructor(url: string, patience: FilePatience) {
    this.#url = url;
    this.#patience = patience;
  }

  async stat(path: string): Promise<Stats> {
    return await this.ask(() => stat(path));
  }

  async access(path: string, mode: number): Promise<void> {
    await this.ask(() => access(path, mode));
  }

  async open(path: string, flags: number | string, mode?: number): Promise<PatientHandle> {
    // What is opened too late nobody closes but we.
    const handle = await this.ask(() => open(path, flags, mode), closeLate);
    return new PatientHandle(handle, this);
  }

  async link(path: string, name: string): Promise<void> {
    await this.ask(() => link(path, name));
  }

  async unlink(path: string): Promise<void> {
    await this.ask(() => unlink(path));
  }

  async mkdir(path: string, mode: number): Promise<void> {
    await this.ask(() => mkdir(path, mode));
  }

  async rmdir(path: string): Promise<void> {
    await this.ask(() => rmdir(path));
  }

  async chmod(path: string, mode: number): Promise<void> {
    await this.ask(() => chmod(path, mode));
  }

  async entries(path: string): Promise<readonly Dirent[]> {
    return await this.ask(() => readdir(path, { withFileTypes: true }));
  }

  async freeBytes(path: string): Promise<number> {
    const { bavail, bsize } = await this.ask(() => statfs(path));
    return bavail * bsize;
  }

  async syncDirectory(path: string): Promise<void> {
    await this.write(() => syncDirectory(path));
  }

  /** Begins a request and waits for its answer; `late` gets one that comes when nobody waits for it any more. */
  async ask<T>(begin: () => Promise<T>, late?: (answer: T) => Promise<void>): Promise<T> {
    return await this.#within(this.#patience.askMs, begin, late);
  }

  /** The same for what takes its time. */
  async write<T>(begin: () => Promise<T>): Promise<T> {
    return await this.#within(this.#patience.writeMs, begin);
  }

  /** Does it now, or when the destination answers again. */
  async whenAnswering(work: () => Promise<void>): Promise<void> {
    const silence = silences.get(this.#url);
    if (silence === undefined) await work();
    else silence.after.push(() => void work().catch(() => undefined)); // Nobody waits for it by then.
  }

  async #within<T>(limitMs: number, begin: () => Promise<T>, late?: (answer: T) => Promise<void>): Promise<T> {
    if (silences.has(this.#url)) throw this.#silent();
    const asked = begin();
    let timer: NodeJS.Timeout | undefined;
    const overdue = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const answered = this.#noteOverdue();
        asked
          .then(async (answer) => await late?.(answer))
          .catch(() => undefined) // It has failed for who asked already.
          .finally(answered);
        reject(this.#silent());
      }, limitMs);
    });
    try {
      return await Promise.race([asked, overdue]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives back what ends it. */
  #noteOverdue(): () => void {
    const silence = silences.get(this.#url) ?? { overdue: 0, after: [] };
    silences.set(this.#url, silence);
    silence.overdue += 1;
    return () => {
      silence.overdue -= 1;
      if (silence.overdue > 0) return;
      silences.delete(this.#url);
      for (const work of silence.after) work();
    };
  }

  #silent(): Failure {
    return new Failure('unavailable', `the destination ${this.#url} does not answer`, {
      hint: 'Look at its mount and its server: a request has waited for minutes. What waits here is kept and tried again.',
    });
  }
}

async function closeLate(handle: FileHandle): Promise<void> {
  await handle.close();
}

/** A file at a destination. */
export class PatientHandle {
  readonly #handle: FileHandle;
  readonly #files: PatientFiles;

  constructor(handle: FileHandle, files: PatientFiles) {
    this.#handle = handle;
    this.#files = files;
  }

  async stat(): Promise<Stats> {
    return await this.#files.ask(() => this.#handle.stat());
  }

  async chmod(mode: number): Promise<void> {
    await this.#files.ask(() => this.#handle.chmod(mode));
  }

  /** Says how many bytes were read. */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    return (await this.#files.ask(() => this.#handle.read(buffer, 0, buffer.byteLength, position))).bytesRead;
  }

  /** Writes a chunk from one of its bytes on, and says how many were written. */
  async write(chunk: Uint8Array, from: number): Promise<number> {
    return (await this.#files.write(() => this.#handle.write(chunk, from))).bytesWritten;
  }

  async sync(): Promise<void> {
    await this.#files.write(() => this.#handle.sync());
  }

  /** Closes it, as soon as the destination answers. */
  async close(): Promise<void> {
    await this.#files.whenAnswering(() => this.#handle.close());
  }
}
