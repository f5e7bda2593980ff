import { dirname, join } from 'node:path/posix';
import type { Stats } from 'ssh2';
import type { SftpAccess } from '../core/destination-access.ts';
import type { SftpDestination } from '../core/destination.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { randomName } from '../system/files.ts';
import type { SharedFolder } from './directory-folders.ts';
import { isObject, isTemporary, temporaryName } from './directory-listing.ts';
import { atPace, type Pace } from './pace.ts';
import type { SftpTarget } from './sftp-connect.ts';
import { isRefusal, sftpCodes, sftpFailure, writeFailure } from './sftp-failure.ts';
import { closeFile, FileWriter, openFile, type OpenFile } from './sftp-file.ts';
import { SftpFolders, syncFolder } from './sftp-folders.ts';
import { signingKey } from './sftp-key.ts';
import { SftpLink } from './sftp-link.ts';
import { readSftpFolder, type SftpEntry } from './sftp-listing.ts';
import { openObject, readObject } from './sftp-read.ts';
import { lookAtSftpRoot, type SftpRoot } from './sftp-root.ts';
import type { SftpSession } from './sftp-session.ts';
import { nameOnce, unlinkIfThere } from './sftp-write-once.ts';
import { checkKey, type Range, type Remark, type Storage, type StoredObject } from './storage.ts';

interface SftpOptions {
  readonly isShared: SharedFolder;
  readonly access: SftpAccess;
  readonly privateFolder: string;
  /** How long one answer may take; a minute unless given. */
  readonly requestMs?: number;
}

const objectMode = 0o640;

/**
 * Opens a directory on an SFTP server as a destination; it must exist.
 *
 * Objects are made as in a local directory: temporary file, fsync, a second name that is refused where it is taken, unlink,
 * fsync of the directory. One connection carries all requests; a lost one is made anew with the next call.
 */
export async function openSftp(destination: SftpDestination, options: SftpOptions): Promise<Storage> {
  const { access, privateFolder, requestMs, isShared } = options;
  const target = { destination, hostKeys: access.hostKeys, key: await signingKey(access, privateFolder) };
  const link = new SftpLink(target, requestMs);
  try {
    const opened = await link.repeat(async (session) => await lookAtSftpRoot(session, destination));
    return new Sftp(target, link, opened, isShared);
  } catch (error) {
    await link.close();
    throw error;
  }
}

class Sftp implements Storage {
  readonly url: string;
  readonly #target: SftpTarget;
  readonly #link: SftpLink;
  readonly #root: string;
  readonly #opened: SftpRoot;
  readonly #folders: SftpFolders;

  constructor(target: SftpTarget, link: SftpLink, opened: SftpRoot, isShared: SharedFolder) {
    const { url, path } = target.destination;
    this.url = url;
    this.#target = target;
    this.#link = link;
    this.#root = path;
    this.#opened = opened;
    this.#folders = new SftpFolders(path, isShared);
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, pace?: Pace): Promise<void> {
    checkKey(key);
    const path = join(this.#root, key);
    const folder = dirname(path);
    const temporary = join(folder, temporaryName(randomName()));
    const file = await this.#create(folder, temporary);
    const { session } = file;
    try {
      await this.#write(file, atPace(body, pace), path);
      if ((await this.#said(path, nameOnce(session, this.#root, temporary, path))) === 'taken') {
        await this.#said(path, syncObject(session, path));
        throw new Failure('conflict', `${this.url}/${key} exists already`);
      }
      // What was mounted there may have gone away under the open file: then the bytes are on no repository of ours.
      await this.#stillThere(session);
    } finally {
      await closeFile(file);
      await unlinkIfThere(session, temporary).catch(() => undefined); // A rest is swept later.
    }
    await this.#said(folder, syncFolder(session, folder));
  }

  async get(key: string, range?: Range): Promise<AsyncIterable<Uint8Array>> {
    checkKey(key);
    const path = join(this.#root, key);
    const found = await this.#ask(path, async (session) => {
      const object = await openObject(session, path);
      if (object === undefined) await this.#stillThere(session);
      return object;
    });
    if (found === undefined) throw new Failure('missing', `${this.url}/${key} is not there`);
    return readObject(this.#link, found, { path, user: this.#target.destination.user, range });
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    for await (const { name, sizeBytes } of this.#files(prefix, isObject)) yield { key: name, sizeBytes };
  }

  async folders(prefix: string): Promise<readonly string[]> {
    return (await this.#entries(prefix)).map(({ name }) => name).filter(isObject);
  }

  async remove(key: string): Promise<void> {
    checkKey(key);
    const path = join(this.#root, key);
    await this.#ask(path, async (session) => {
      await this.#stillThere(session);
      await unlinkIfThere(session, path);
      // Gone already is no reason to stop: who removed it may not have lived to make that durable.
      await this.#folders.removeEmpty(session, dirname(path));
      await this.#stillThere(session);
    });
  }

  async sweep(prefix: string, before: Date): Promise<number> {
    let swept = 0;
    for await (const { name, changedAt } of this.#files(prefix, isTemporary)) {
      if (changedAt >= before) continue;
      const path = join(this.#root, name);
      await this.#ask(path, async (session) => await unlinkIfThere(session, path));
      swept += 1;
    }
    return swept;
  }

  async freeBytes(): Promise<number | undefined> {
    return (await this.#link.repeat(async (session) => await this.#stillThere(session))).freeBytes;
  }

  async clock(): Promise<Date> {
    return await this.#probe(this.#root, async (file) => {
      const writer = new FileWriter(file);
      await writer.write(Buffer.from('?'));
      await writer.finish();
      const stats = await file.session.ask<Stats>((sftp, done) => sftp.fstat(file.handle, done));
      return new Date(stats.mtime * 1000);
    });
  }

  async mayPut(prefix: string): Promise<boolean> {
    let folder = join(this.#root, prefix);
    while (folder.length > this.#root.length) {
      const found = await this.#ask(folder, async (session) => await session.stat(folder));
      if (found !== undefined) break;
      folder = dirname(folder);
    }
    try {
      return await this.#probe(folder, async () => true);
    } catch (error) {
      if (isFailure(error, 'refused')) return false;
      throw error;
    }
  }

  async remarks(): Promise<readonly Remark[]> {
    const { publicLine, isOwn } = this.#target.key;
    const synced = await this.#probe(this.#root, async ({ session, handle }) => {
      return [await session.sync(handle), await syncFolder(session, this.#root)];
    });
    return [
      ...(isOwn ? [{ is: 'note', text: `this unit signs in with its own key: ${publicLine}` } as const] : []),
      ...(synced.includes('unsupported') ? [withoutSync] : []),
    ];
  }

  async close(): Promise<void> {
    await this.#link.close();
  }

  async #write(file: OpenFile, body: AsyncIterable<Uint8Array>, path: string): Promise<void> {
    const writer = new FileWriter(file);
    for await (const chunk of body) await this.#written(path, file.session, writer.write(chunk));
    await this.#written(path, file.session, writer.finish());
    await this.#written(path, file.session, file.session.sync(file.handle));
  }

  /** What a request about bytes came to; for its error the room that is left is looked at. */
  async #written(path: string, session: SftpSession, asked: Promise<unknown>): Promise<void> {
    try {
      await asked;
    } catch (error) {
      const { destination } = this.#target;
      const root = await lookAtSftpRoot(session, destination).catch(() => undefined);
      throw writeFailure(error, path, destination.user, root?.freeBytes);
    }
  }

  /** Opens a temporary file in a folder, which is made when missing. A prune may remove an empty folder in between. */
  async #create(folder: string, temporary: string): Promise<OpenFile> {
    return await this.#link.repeat(async (session) => {
      await this.#stillThere(session);
      for (let attempt = 1; ; attempt += 1) {
        try {
          await this.#folders.make(session, folder);
          return await openFile(session, temporary, 'wx', objectMode);
        } catch (error) {
          this.#folders.forget();
          if (attempt === 5 || !isRefusal(error, sftpCodes.noSuchFile)) {
            await this.#written(temporary, session, Promise.reject(error));
          }
        }
      }
    });
  }

  /** Works with a temporary file that is gone afterwards. */
  async #probe<T>(folder: string, work: (file: OpenFile) => Promise<T>): Promise<T> {
    const path = join(folder, temporaryName(randomName()));
    return await this.#ask(path, async (session) => {
      await this.#stillThere(session);
      const file = await openFile(session, path, 'wx', objectMode);
      try {
        return await work(file);
      } finally {
        await closeFile(file);
        await unlinkIfThere(session, path).catch(() => undefined); // A rest is swept later.
      }
    });
  }

  /** Files below a prefix by their keys. */
  async *#files(prefix: string, isWanted: (name: string) => boolean): AsyncIterable<SftpEntry> {
    for (const entry of await this.#entries(prefix)) {
      const key = prefix + entry.name;
      if (key.endsWith('/')) yield* this.#files(key, isWanted);
      else if (isWanted(entry.name)) yield { ...entry, name: key };
    }
  }

  /** What is in a folder; nothing when there is positively no such folder. */
  async #entries(prefix: string): Promise<readonly SftpEntry[]> {
    const folder = join(this.#root, prefix);
    return await this.#ask(folder, async (session) => {
      const found = await readSftpFolder(session, folder);
      // Looked at after the answer: an empty folder under a mount that went away answers as well.
      await this.#stillThere(session);
      return found ?? [];
    });
  }

  /** Fails unless the root is on the file system that was opened; says how much is free. */
  async #stillThere(session: SftpSession): Promise<SftpRoot> {
    const now = await lookAtSftpRoot(session, this.#target.destination);
    if (now.fileSystem === this.#opened.fileSystem) return now;
    throw new Failure('unavailable', `the destination ${this.url} is no longer the file system that was opened`, {
      hint: 'Is it mounted on the server? Mount it again; nothing was written elsewhere.',
    });
  }

  /** A question that may be asked twice; its error becomes what it means for the path. */
  async #ask<T>(path: string, work: (session: SftpSession) => Promise<T>): Promise<T> {
    return await this.#said(path, this.#link.repeat(work));
  }

  async #said<T>(path: string, asked: Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      throw sftpFailure(error, path, this.#target.destination.user);
    }
  }
}

/** Makes an object that somebody else named durable: they may not have lived to do it. */
async function syncObject(session: SftpSession, path: string): Promise<void> {
  const file = await openFile(session, path, 'r');
  try {
    await session.sync(file.handle);
  } finally {
    await closeFile(file);
  }
  await syncFolder(session, dirname(path));
}

const withoutSync: Remark = {
  is: 'fault',
  text: 'the SFTP server can not be asked to write to its disk (fsync@openssh.com): what it acknowledged is lost when its power fails in the next seconds',
  hint: 'Use OpenSSH 6.5 or later with internal-sftp, without a -P option that takes fsync away.',
};
