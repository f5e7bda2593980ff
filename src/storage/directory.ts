import { constants, type Stats } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode, randomName } from '../system/files.ts';
import { directoryFailure, saidOf } from './directory-failure.ts';
import { DirectoryFolders, type SharedFolder } from './directory-folders.ts';
import { isObject, isTemporary, lookAtFiles, readFolder, temporaryName, type FoundFile } from './directory-listing.ts';
import { createTemporary, linkOnce, readObject, syncObject, writeBody } from './directory-object.ts';
import { atPace, type Pace } from './pace.ts';
import { PatientFiles, usualFilePatience, type FilePatience, type PatientHandle } from './patient-files.ts';
import { checkKey, type Range, type Remark, type Storage, type StoredObject } from './storage.ts';

interface DirectoryOptions {
  readonly url: string;
  readonly isShared: SharedFolder;
  readonly patience?: FilePatience;
}

/**
 * Opens a directory (a local disk, NFS) as a destination; it must exist.
 *
 * Objects are made by temporary file, fsync, `link`, unlink, fsync of the directory; `link` refuses an existing name, so two
 * writers of one key can't both win. A file system without `link` is refused: there is no other way to keep the promise.
 * That the directory is still the file system that was opened is looked at before each answer: an NFS mount that went
 * away leaves an empty directory behind, and its silence must never read as "absent".
 */
export async function openDirectory(root: string, options: DirectoryOptions): Promise<Storage> {
  const path = resolve(root);
  const files = new PatientFiles(options.url, options.patience ?? usualFilePatience);
  return new Directory(path, await lookAtRoot(files, path, options.url), files, options);
}

async function lookAtRoot(files: PatientFiles, root: string, url: string): Promise<Stats> {
  let found: Stats;
  try {
    found = await files.stat(root);
  } catch (error) {
    if (!isAbsence(error)) throw directoryFailure(error, root);
    throw new Failure('unavailable', `the destination ${url} is not there`, {
      hint: `Mount it, or make the directory: install -d -m 2770 -o postgres -g postgres ${root}`,
      cause: error,
    });
  }
  if (found.isDirectory()) return found;
  throw new Failure('refused', `the destination ${url} is not a directory`, {
    hint: 'Name a directory in the option destination.',
  });
}

class Directory implements Storage {
  readonly url: string;
  readonly #root: string;
  readonly #opened: Stats;
  readonly #files: PatientFiles;
  readonly #folders: DirectoryFolders;

  constructor(root: string, opened: Stats, files: PatientFiles, options: DirectoryOptions) {
    this.#root = root;
    this.#opened = opened;
    this.#files = files;
    this.#folders = new DirectoryFolders(files, root, options.isShared);
    this.url = options.url;
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, pace?: Pace): Promise<void> {
    checkKey(key);
    const path = join(this.#root, key);
    const folder = dirname(path);
    const temporary = join(folder, temporaryName(randomName()));
    await this.#stillThere();
    const handle = await this.#create(folder, temporary);
    try {
      await writeBody(handle, atPace(body, pace), path);
      if ((await linkOnce(this.#files, temporary, path)) === 'taken') {
        await syncObject(this.#files, path, folder);
        throw new Failure('conflict', `${this.url}/${key} exists already`);
      }
      // The mount may have gone away under the open file: then the bytes are on no repository of ours.
      await this.#stillThere();
    } finally {
      await handle.close().catch(() => undefined); // Synced or failed before; closing adds nothing.
      await this.#files.unlink(temporary).catch(() => undefined); // A rest is swept later.
    }
    await saidOf(folder, this.#files.syncDirectory(folder));
  }

  async get(key: string, range?: Range): Promise<AsyncIterable<Uint8Array>> {
    checkKey(key);
    const path = join(this.#root, key);
    const handle = await this.#openObject(path);
    if (handle !== undefined) return readObject(handle, path, range);
    throw new Failure('missing', `${this.url}/${key} is not there`);
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    for await (const { path, sizeBytes } of this.#walk(join(this.#root, prefix), isObject)) {
      yield { key: relative(this.#root, path), sizeBytes };
    }
  }

  async folders(prefix: string): Promise<readonly string[]> {
    return (await this.#entries(join(this.#root, prefix))).filter(isObject);
  }

  async remove(key: string): Promise<void> {
    checkKey(key);
    const path = join(this.#root, key);
    await this.#stillThere();
    await this.#unlinkIfThere(path);
    // Gone already is no reason to stop: who removed it may not have lived to make that durable.
    await this.#folders.removeEmpty(dirname(path));
    await this.#stillThere();
  }

  async sweep(prefix: string, before: Date): Promise<number> {
    let swept = 0;
    for await (const { path, changedAt } of this.#walk(join(this.#root, prefix), isTemporary)) {
      if (changedAt >= before) continue;
      await this.#unlinkIfThere(path);
      swept += 1;
    }
    return swept;
  }

  async freeBytes(): Promise<number> {
    const free = await saidOf(this.#root, this.#files.freeBytes(this.#root));
    await this.#stillThere();
    return free;
  }

  async clock(): Promise<Date> {
    await this.#stillThere();
    const probe = join(this.#root, temporaryName(`clock-${randomName()}`));
    const handle = await saidOf(probe, createTemporary(this.#files, probe));
    try {
      await saidOf(probe, handle.write(Buffer.from('?'), 0)); // NFS gives its own time to the first write, not to the creation.
      await saidOf(probe, handle.sync());
      return (await saidOf(probe, handle.stat())).mtime;
    } finally {
      await handle.close().catch(() => undefined); // Nothing of it is kept.
      await this.#files.unlink(probe).catch(() => undefined); // A rest is swept later.
    }
  }

  async mayPut(prefix: string): Promise<boolean> {
    let folder = join(this.#root, prefix);
    for (;;) {
      try {
        await this.#files.access(folder, constants.W_OK | constants.X_OK);
        return true;
      } catch (error) {
        await this.#stillThere();
        if (!isAbsence(error) || folder.length <= this.#root.length) return false;
        folder = dirname(folder);
      }
    }
  }

  async remarks(): Promise<readonly Remark[]> {
    return []; // What it can't do is refused when it is tried.
  }

  async close(): Promise<void> {
    // Nothing stays open between calls.
  }

  /** Fails unless the root is the directory on the file system that was opened. */
  async #stillThere(): Promise<void> {
    const now = await lookAtRoot(this.#files, this.#root, this.url);
    if (now.dev === this.#opened.dev && now.ino === this.#opened.ino) return;
    throw new Failure('unavailable', `the destination ${this.url} is no longer the file system that was opened`, {
      hint: 'Is it mounted? Mount it again; nothing was written elsewhere.',
    });
  }

  /** Opens a temporary file in a folder, which is made when missing. A prune may remove an empty folder in between. */
  async #create(folder: string, temporary: string): Promise<PatientHandle> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#folders.make(folder);
        return await createTemporary(this.#files, temporary);
      } catch (error) {
        this.#folders.forget();
        // Named by its folder: the same failure is the same sentence each time.
        if (attempt === 5 || errorCode(error) !== 'ENOENT') throw directoryFailure(error, folder);
      }
    }
  }

  /** Opens an object for reading; `undefined` when no file has this name. */
  async #openObject(path: string): Promise<PatientHandle | undefined> {
    let handle: PatientHandle;
    try {
      handle = await this.#files.open(path, 'r');
    } catch (error) {
      await this.#stillThere();
      if (isAbsence(error)) return undefined;
      throw directoryFailure(error, path);
    }
    const isFile = (await saidOf(path, handle.stat())).isFile();
    if (isFile) return handle;
    await handle.close();
    return undefined;
  }

  async *#walk(folder: string, isWanted: (name: string) => boolean): AsyncIterable<FoundFile> {
    const names = await this.#entries(folder);
    let files: string[] = [];
    for (const name of names) {
      if (!name.endsWith('/')) {
        if (isWanted(name)) files.push(name);
        continue;
      }
      yield* lookAtFiles(this.#files, folder, files);
      files = [];
      yield* this.#walk(join(folder, name.slice(0, -1)), isWanted);
    }
    yield* lookAtFiles(this.#files, folder, files);
  }

  /** The names in a folder; none when there is positively no such folder. */
  async #entries(folder: string): Promise<readonly string[]> {
    const names = await readFolder(this.#files, folder);
    // Looked at after the answer: an empty folder under a mount that went away answers as well.
    await this.#stillThere();
    return names ?? [];
  }

  async #unlinkIfThere(path: string): Promise<void> {
    try {
      await this.#files.unlink(path);
    } catch (error) {
      if (!isAbsence(error)) throw directoryFailure(error, path);
    }
  }
}

function isAbsence(error: unknown): boolean {
  return errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR';
}
