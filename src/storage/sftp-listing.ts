import { join } from 'node:path/posix';
import type { FileEntryWithStats } from 'ssh2';
import { Failure } from '../core/failure.ts';
import { isObject } from './directory-listing.ts';
import { isRefusal, sftpCodes } from './sftp-failure.ts';
import type { SftpSession } from './sftp-session.ts';

/** A name in a folder, with a slash at its end where it is a folder itself. */
export interface SftpEntry {
  readonly name: string;
  readonly sizeBytes: number;
  readonly changedAt: Date;
}

/**
 * What is in a folder, in the order of keys; `undefined` when there is no such folder.
 *
 * A symbolic link is `refused`: skipping it would say "absent" of what lies behind it.
 */
export async function readSftpFolder(session: SftpSession, folder: string): Promise<readonly SftpEntry[] | undefined> {
  let found: readonly FileEntryWithStats[];
  try {
    found = await session.ask<FileEntryWithStats[]>((sftp, done) => sftp.readdir(folder, done));
  } catch (error) {
    if (isRefusal(error, sftpCodes.noSuchFile)) return undefined;
    throw error;
  }
  const entries: SftpEntry[] = [];
  for (const { filename, attrs } of found) {
    const isOurs = isObject(filename) && filename !== 'lost+found';
    if (attrs.isSymbolicLink() && isOurs) {
      throw new Failure('refused', `${join(folder, filename)} is a symbolic link, and a repository holds none`, {
        hint: 'Put the files themselves in its place; to spread a repository over disks, mount one there.',
      });
    }
    const told = { sizeBytes: attrs.size, changedAt: new Date(attrs.mtime * 1000) };
    if (attrs.isFile()) entries.push({ name: filename, ...told });
    else if (attrs.isDirectory() && isOurs) entries.push({ name: `${filename}/`, ...told });
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}
