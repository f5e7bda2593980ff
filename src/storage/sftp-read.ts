import type { Stats } from 'ssh2';
import { Failure } from '../core/failure.ts';
import { isRefusal, sftpCodes, sftpFailure } from './sftp-failure.ts';
import { closeFile, openFile, readFile, type OpenFile } from './sftp-file.ts';
import type { SftpLink } from './sftp-link.ts';
import type { SftpSession } from './sftp-session.ts';
import type { Range } from './storage.ts';

/** How often a read goes on after its connection was lost without a byte in between. */
const attemptsWithoutProgress = 3;

/** An object that is open for reading. */
export interface OpenObject extends OpenFile {
  readonly sizeBytes: number;
}

/** Opens an object for reading; `undefined` where positively no file has this name. */
export async function openObject(session: SftpSession, path: string): Promise<OpenObject | undefined> {
  let file: OpenFile;
  try {
    file = await openFile(session, path, 'r');
  } catch (error) {
    if (!isRefusal(error, sftpCodes.noSuchFile)) throw error;
    await refuseLink(session, path);
    return undefined;
  }
  const { handle } = file;
  const stats = await session.ask<Stats>((sftp, done) => sftp.fstat(handle, done));
  if (stats.isFile()) return { ...file, sizeBytes: stats.size };
  await closeFile(file);
  return undefined;
}

/** To the protocol, a link that leads nowhere or in a circle is "no such file". */
async function refuseLink(session: SftpSession, path: string): Promise<void> {
  try {
    await session.ask<Stats>((sftp, done) => sftp.lstat(path, done));
  } catch (error) {
    if (isRefusal(error, sftpCodes.noSuchFile)) return;
    throw error;
  }
  throw new Failure('refused', `${path} is a link that leads nowhere`, { hint: 'Put the file itself in its place.' });
}

/** The bytes of an open object. Where the connection is lost it goes on behind the last byte over a new one. */
export async function* readObject(
  link: SftpLink,
  opened: OpenObject,
  at: { readonly path: string; readonly user: string; readonly range: Range | undefined },
): AsyncGenerator<Uint8Array> {
  const { sizeBytes } = opened;
  const end = Math.min(at.range?.end ?? sizeBytes, sizeBytes);
  let position = at.range?.start ?? 0;
  let object = opened;
  for (let attempt = 1; ; attempt += 1) {
    try {
      for await (const piece of readFile(object, position, end)) {
        position += piece.byteLength;
        attempt = 1;
        yield piece;
      }
      if (position >= end) return;
      throw new Failure('unavailable', `${at.path} on the SFTP server became shorter while it was read`);
    } catch (error) {
      if (!object.session.isLost || attempt >= attemptsWithoutProgress) throw sftpFailure(error, at.path, at.user);
    } finally {
      await closeFile(object);
    }
    object = await reopen(link, at.path, sizeBytes, at.user);
  }
}

async function reopen(link: SftpLink, path: string, sizeBytes: number, user: string): Promise<OpenObject> {
  try {
    const again = await openObject(await link.session(), path);
    if (again?.sizeBytes === sizeBytes) return again;
  } catch (error) {
    throw sftpFailure(error, path, user);
  }
  throw new Failure('unavailable', `${path} on the SFTP server was removed or replaced while it was read`);
}
