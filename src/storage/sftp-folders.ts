import { dirname, relative } from 'node:path/posix';
import type { SharedFolder } from './directory-folders.ts';
import { isRefusal, sftpCodes } from './sftp-failure.ts';
import { closeFile, openFile } from './sftp-file.ts';
import type { SftpSession } from './sftp-session.ts';

/** Makes and removes the folders between a root and its objects on an SFTP server. */
export class SftpFolders {
  readonly #root: string;
  readonly #isShared: SharedFolder;
  /** Folders whose way up to the root this process has made durable. */
  readonly #durable = new Set<string>();

  constructor(root: string, isShared: SharedFolder) {
    this.#root = root;
    this.#isShared = isShared;
  }

  /** Makes a folder and everything above it below the root, durably where the server can. */
  async make(session: SftpSession, folder: string): Promise<void> {
    if (folder === this.#root || this.#durable.has(folder)) return;
    const above = dirname(folder);
    await this.make(session, above);
    const wanted = this.#isShared(relative(this.#root, folder)) ? 0o2770 : 0o2750;
    try {
      await session.tell((sftp, done) => sftp.mkdir(folder, { mode: wanted }, done));
    } catch (error) {
      const isThere = isRefusal(error, sftpCodes.failure) && (await session.stat(folder))?.isDirectory() === true;
      if (!isThere) throw error;
    }
    await giveRights(session, folder, wanted);
    await syncFolder(session, above);
    this.#durable.add(folder);
  }

  /** Forgets what was durable: somebody has removed folders since. */
  forget(): void {
    this.#durable.clear();
  }

  /** Makes a removal in a folder durable, and removes the folder and those above it as long as they are empty. */
  async removeEmpty(session: SftpSession, folder: string): Promise<void> {
    for (let place = folder; ; place = dirname(place)) {
      await syncFolder(session, place);
      if (place === this.#root) return;
      this.#durable.delete(place);
      try {
        await session.tell((sftp, done) => sftp.rmdir(place, done));
      } catch (error) {
        // Gone already is as good; not empty, or not ours to remove: an empty folder does no harm.
        if (!isRefusal(error)) throw error;
        if (error.code !== sftpCodes.noSuchFile) return;
      }
    }
  }
}

/** Gives a folder the rights that the server's umask took. What an operator added stays; somebody else's folder does too. */
async function giveRights(session: SftpSession, folder: string, wanted: number): Promise<void> {
  const found = await session.stat(folder);
  if (found === undefined || (found.mode & wanted) === wanted) return;
  try {
    await session.tell((sftp, done) => sftp.chmod(folder, (found.mode & 0o7777) | wanted, done));
  } catch (error) {
    if (!isRefusal(error)) throw error;
  }
}

/** Makes the names in a folder durable; `unsupported` where the server can't. A folder that is gone needs nothing. */
export async function syncFolder(session: SftpSession, folder: string): Promise<'synced' | 'unsupported'> {
  try {
    const file = await openFile(session, folder, 'r');
    try {
      return await session.sync(file.handle);
    } finally {
      await closeFile(file);
    }
  } catch (error) {
    if (isRefusal(error, sftpCodes.noSuchFile)) return 'synced';
    // A server that opens no folders, or lets nobody sync them.
    if (isRefusal(error)) return 'unsupported';
    throw error;
  }
}
