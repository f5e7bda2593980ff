import { constants, type Stats } from 'node:fs';
import { link, mkdir, open, readdir, rmdir, stat, statfs, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode, randomName, syncDirectory } from '../system/files.ts';
import { directoryFailure } from './directory-failure.ts';
import { checkKey, type Range, type Storage, type StoredObject } from './storage.ts';

/** Says whether several users write into a folder (given without a slash at its end; the root is empty). */
export type SharedFolder = (folder: string) => boolean;

interface DirectoryOptions {
  readonly url: string;
  readonly isShared: SharedFolder;
}

const temporaryPattern = /^\..*\.tmp$/;
const readSize = 1024 * 1024;

/**
 * Opens a directory (a local disk, NFS) as a destination; it must exist.
 *
 * Objects are made by temporary file, fsync, `link`, unlink, fsync of the directory; `link` refuses an existing name, so two
 * writers of one key can't both win. A file system without `link` is refused: there is no other way to keep the promise.
 * That the directory is still the file system that was opened is looked at before each answer: an NFS mount that went
 * away leaves an empty directory behind, and its silence must never read as "absent".
 */
export async function openDirectory(root: string, options: DirectoryOptions): Promise<Storage> {
  const opened = await lookAtRoot(root, options.url);
  return new Directory(root, opened, options);
}

async function lookAtRoot(root: string, url: string): Promise<Stats> {
  let found: Stats;
  try {
    found = await stat(root);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw directoryFailure(error, root);
    throw new Failure('unavailable', `the destination ${url} is not there`, {
      hint: `Mount it, or make the directory: install -d -m 2770 -o postgres -g postgres ${root}`,
      cause: error,
    });
  }
  if (found.isDirectory()) return found;
  throw new Failure('refused', `the destination ${url} is not a directory`, { hint: 'Name a directory in the option destination.' });
}

class Directory implements Storage {
  readonly url: string;
  readonly #root: string;
  readonly #opened: Stats;
  readonly #isShared: SharedFolder;
  /** Folders whose way up to the root this process has made durable. */
  readonly #durable = new Set<string>();

  constructor(root: string, opened: Stats, options: DirectoryOptions) {
    this.#root = root;
    this.#opened = opened;
    this.#isShared = options.isShared;
    this.url = options.url;
  }

  async put(key: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    checkKey(key);
    const path = join(this.#root, key);
    const folder = dirname(path);
    const temporary = join(folder, `.${randomName()}.tmp`);
    await this.#stillThere();
    const handle = await this.#create(folder, temporary);
    try {
      await write(handle, body, path);
      if ((await linkOnce(temporary, path)) === 'taken') {
        await syncFile(path);
        await syncDirectory(folder);
        throw new Failure('conflict', `${this.url}/${key} exists already`);
      }
      // The mount may have gone away under the open file: then the bytes are on no repository of ours.
      await this.#stillThere();
    } catch (error) {
      throw directoryFailure(error, path);
    } finally {
      await handle.close().catch(() => undefined); // Synced or failed before; closing adds nothing.
      await unlink(temporary).catch(() => undefined); // A rest is swept later.
    }
    await syncDirectory(folder).catch((error: unknown) => {
      throw directoryFailure(error, folder);
    });
  }

  async get(key: string, range?: Range): Promise<AsyncIterable<Uint8Array>> {
    checkKey(key);
    const path = join(this.#root, key);
    let handle: FileHandle;
    try {
      handle = await open(path, 'r');
    } catch (error) {
      await this.#stillThere();
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') {
        throw new Failure('missing', `${this.url}/${key} is not there`, { cause: error });
      }
      throw directoryFailure(error, path);
    }
    return readHandle(handle, path, range);
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    await this.#stillThere();
    yield* this.#walk(join(this.#root, prefix));
  }

  async folders(prefix: string): Promise<readonly string[]> {
    await this.#stillThere();
    const entries = await this.#entries(join(this.#root, prefix));
    return entries.filter((name) => !temporaryPattern.test(name));
  }

  async remove(key: string): Promise<void> {
    checkKey(key);
    const path = join(this.#root, key);
    await this.#stillThere();
    try {
      await unlink(path);
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return;
      throw directoryFailure(error, path);
    }
    await this.#removeEmpty(dirname(path));
  }

  async sweep(prefix: string, before: Date): Promise<number> {
    await this.#stillThere();
    let swept = 0;
    for await (const path of this.#files(join(this.#root, prefix), (name) => temporaryPattern.test(name))) {
      const { mtime } = await stat(path).catch(() => ({ mtime: before })); // Gone by itself: its put has ended.
      if (mtime >= before) continue;
      await unlink(path).catch((error: unknown) => {
        if (errorCode(error) !== 'ENOENT') throw directoryFailure(error, path);
      });
      swept += 1;
    }
    return swept;
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#root).catch((error: unknown) => {
      throw directoryFailure(error, this.#root);
    });
    return bavail * bsize;
  }

  async clock(): Promise<Date> {
    await this.#stillThere();
    const probe = join(this.#root, `.clock-${randomName()}.tmp`);
    try {
      const handle = await open(probe, 'wx', 0o640);
      try {
        await handle.writeFile('?'); // NFS gives its own time to the first write, not to the creation.
        await handle.sync();
        return (await handle.stat()).mtime;
      } finally {
        await handle.close();
        await unlink(probe).catch(() => undefined); // A rest is swept later.
      }
    } catch (error) {
      throw directoryFailure(error, probe);
    }
  }

  async close(): Promise<void> {
    // Nothing stays open between calls.
  }

  /** Fails unless the root is the directory on the file system that was opened. */
  async #stillThere(): Promise<void> {
    const now = await lookAtRoot(this.#root, this.url);
    if (now.dev === this.#opened.dev && now.ino === this.#opened.ino) return;
    throw new Failure('unavailable', `the destination ${this.url} is no longer the file system that was opened`, {
      hint: 'Is it mounted? Mount it again; nothing was written elsewhere.',
    });
  }

  /** Opens a temporary file in a folder, which is made when missing. A prune may remove an empty folder in between. */
  async #create(folder: string, temporary: string): Promise<FileHandle> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#makeFolder(folder);
        return await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o640);
      } catch (error) {
        this.#durable.delete(folder);
        if (attempt === 5 || errorCode(error) !== 'ENOENT') throw directoryFailure(error, temporary);
      }
    }
  }

  /** Makes a folder and everything above it below the root, durably: another process may have made it and not lived to sync. */
  async #makeFolder(folder: string): Promise<void> {
    if (folder === this.#root || this.#durable.has(folder)) return;
    const above = dirname(folder);
    await this.#makeFolder(above);
    try {
      await mkdir(folder, this.#isShared(relative(this.#root, folder)) ? 0o2770 : 0o2750);
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
    await syncDirectory(above);
    this.#durable.add(folder);
  }

  /** Removes a folder and those above it as long as they are empty. */
  async #removeEmpty(folder: string): Promise<void> {
    for (let place = folder; place !== this.#root; place = dirname(place)) {
      await syncDirectory(place).catch((error: unknown) => {
        if (errorCode(error) !== 'ENOENT') throw directoryFailure(error, place);
      });
      this.#durable.delete(place);
      try {
        await rmdir(place);
      } catch {
        return; // Not empty, or not ours to remove: an empty folder does no harm.
      }
    }
  }

  async *#walk(folder: string): AsyncIterable<StoredObject> {
    for await (const path of this.#files(folder, (name) => !temporaryPattern.test(name))) {
      let sizeBytes: number;
      try {
        sizeBytes = (await stat(path)).size;
      } catch (error) {
        if (errorCode(error) === 'ENOENT') continue; // Removed since its folder was read.
        throw directoryFailure(error, path);
      }
      yield { key: relative(this.#root, path), sizeBytes };
    }
  }

  async *#files(folder: string, wanted: (name: string) => boolean): AsyncIterable<string> {
    for (const name of await this.#entries(folder)) {
      if (name.endsWith('/')) yield* this.#files(join(folder, name.slice(0, -1)), wanted);
      else if (wanted(name)) yield join(folder, name);
    }
  }

  /** The names in a folder in key order, folders with a slash at their end; none when there is no such folder. */
  async #entries(folder: string): Promise<readonly string[]> {
    try {
      const entries = await readdir(folder, { withFileTypes: true });
      // A file system's own folder (`lost+found`, `.snapshot`) is not ours to look into.
      const ours = entries.filter((entry) => entry.isFile() || (entry.isDirectory() && /^[A-Za-z0-9]/.test(entry.name) && entry.name !== 'lost+found'));
      return ours.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort(byBytes);
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') {
        await this.#stillThere();
        return [];
      }
      throw directoryFailure(error, folder);
    }
  }
}

function byBytes(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

async function write(handle: FileHandle, body: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  for await (const chunk of body) {
    let written = 0;
    while (written < chunk.byteLength) {
      const { bytesWritten } = await handle.write(chunk, written).catch((error: unknown) => {
        throw directoryFailure(error, path);
      });
      written += bytesWritten;
    }
  }
  await handle.sync();
}

/** Gives the finished bytes their name. `taken`: it belongs to another object. */
async function linkOnce(temporary: string, path: string): Promise<'linked' | 'taken'> {
  try {
    await link(temporary, path);
    return 'linked';
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EEXIST') {
      // NFS: the answer to a first request was lost, and its repetition finds our own success.
      const [ours, theirs] = [await stat(temporary), await stat(path)];
      return ours.ino === theirs.ino && ours.dev === theirs.dev ? 'linked' : 'taken';
    }
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'EOPNOTSUPP' || code === 'ENOSYS' || code === 'EMLINK') {
      throw new Failure('refused', `the file system of ${path} knows no hard links, so it can't refuse to overwrite (${code})`, {
        hint: 'Use a directory on ext4, XFS, Btrfs, ZFS or NFS as destination.',
        cause: error,
      });
    }
    throw error;
  }
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function* readHandle(handle: FileHandle, path: string, range: Range | undefined): AsyncIterable<Uint8Array> {
  try {
    let position = range?.start ?? 0;
    const end = range?.end ?? Infinity;
    while (position < end) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(readSize, end - position));
      const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw directoryFailure(error, path);
  } finally {
    await handle.close();
  }
}
