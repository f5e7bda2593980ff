import { dirname, relative } from 'node:path';
import { errorCode } from '../system/files.ts';
import { saidOf } from './directory-failure.ts';
import type { PatientFiles } from './patient-files.ts';

/** Says whether several users write into a folder (given without a slash at its end; the root is empty). */
export type SharedFolder = (folder: string) => boolean;

/** Makes and removes the folders between a root and its objects. */
export class DirectoryFolders {
  readonly #files: PatientFiles;
  readonly #root: string;
  readonly #isShared: SharedFolder;
  /** Folders whose way up to the root this process has made durable. */
  readonly #durable = new Set<string>();

  constructor(files: PatientFiles, root: string, isShared: SharedFolder) {
    this.#files = files;
    this.#root = root;
    this.#isShared = isShared;
  }

  /** Makes a folder and everything above it below the root, durably: another process may have made it and not lived to sync. */
  async make(folder: string): Promise<void> {
    if (folder === this.#root || this.#durable.has(folder)) return;
    const above = dirname(folder);
    await this.make(above);
    try {
      await this.#files.mkdir(folder, this.#rights(folder) & 0o777);
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
    await this.#giveRights(folder);
    await this.#files.syncDirectory(above);
    this.#durable.add(folder);
  }

  /** Forgets what was durable: somebody has removed folders since. */
  forget(): void {
    this.#durable.clear();
  }

  /** Makes a removal in a folder durable, and removes the folder and those above it as long as they are empty. */
  async removeEmpty(folder: string): Promise<void> {
    for (let place = folder; ; place = dirname(place)) {
      await this.#sync(place);
      if (place === this.#root) return;
      this.#durable.delete(place);
      try {
        await this.#files.rmdir(place);
      } catch (error) {
        // Gone already is as good; not empty, or not ours to remove: an empty folder does no harm.
        if (errorCode(error) !== 'ENOENT') return;
      }
    }
  }

  async #sync(folder: string): Promise<void> {
    try {
      await this.#files.syncDirectory(folder);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') await saidOf(folder, Promise.reject(error));
    }
  }

  /**
   * Gives a folder of ours the rights that are missing: the umask took them, or a process died before it came here.
   *
   * What an operator added stays. Rights that are there are not set again: `chmod` by a user outside the folder's group
   * would take away the setgid bit that the folder has from the one above.
   */
  async #giveRights(folder: string): Promise<void> {
    const found = await this.#files.stat(folder);
    const wanted = this.#rights(folder);
    if (found.uid !== process.geteuid?.() || (found.mode & wanted) === wanted) return;
    await this.#files.chmod(folder, (found.mode & 0o7777) | wanted);
  }

  #rights(folder: string): number {
    return this.#isShared(relative(this.#root, folder)) ? 0o2770 : 0o2750;
  }
}
