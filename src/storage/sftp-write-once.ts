import { join } from 'node:path/posix';
import { Failure } from '../core/failure.ts';
import { randomName } from '../system/files.ts';
import { temporaryName } from './directory-listing.ts';
import { isRefusal, sftpCodes } from './sftp-failure.ts';
import { closeFile, openFile } from './sftp-file.ts';
import type { SftpSession } from './sftp-session.ts';

/** Sessions whose server was seen to refuse a rename onto an existing file. */
const proven = new WeakSet<SftpSession>();

/**
 * Gives the finished bytes their name. `taken`: it belongs to another object.
 *
 * `hardlink@openssh.com` is the one request that can't overwrite. Where a server lacks it, the protocol's plain rename must
 * refuse an existing target; whether it does is tried before it is relied on.
 */
export async function nameOnce(
  session: SftpSession,
  root: string,
  temporary: string,
  path: string,
): Promise<'named' | 'taken'> {
  try {
    if ((await session.link(temporary, path)) === 'linked') return 'named';
    await proveRename(session, root);
    await rename(session, temporary, path);
    return 'named';
  } catch (error) {
    if (isRefusal(error) && (await session.stat(path)) !== undefined) return 'taken';
    // The same user has just made a file in this folder.
    if (isRefusal(error, sftpCodes.permissionDenied)) throw noWriteOnce(`links are not permitted at ${path}`);
    throw error;
  }
}

async function proveRename(session: SftpSession, root: string): Promise<void> {
  if (proven.has(session)) return;
  const [one, other] = [join(root, temporaryName(randomName())), join(root, temporaryName(randomName()))];
  try {
    for (const path of [one, other]) await closeFile(await openFile(session, path, 'wx', 0o600));
    await rename(session, one, other);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const areBoth = (await session.stat(one)) !== undefined && (await session.stat(other)) !== undefined;
    if (!areBoth) throw error;
    proven.add(session);
    return;
  } finally {
    for (const path of [one, other]) await unlinkIfThere(session, path).catch(() => undefined); // A rest is swept later.
  }
  throw noWriteOnce('its rename overwrites, and it has no hard links (hardlink@openssh.com)');
}

function noWriteOnce(why: string): Failure {
  return new Failure('refused', `the SFTP server can't refuse to overwrite: ${why}`, {
    hint: 'Use OpenSSH with internal-sftp and a directory on ext4, XFS, Btrfs or ZFS: this one can lose backups silently.',
  });
}

async function rename(session: SftpSession, from: string, to: string): Promise<void> {
  await session.tell((sftp, done) => sftp.rename(from, to, done));
}

/** Removes a file that may be gone already. */
export async function unlinkIfThere(session: SftpSession, path: string): Promise<void> {
  try {
    await session.tell((sftp, done) => sftp.unlink(path, done));
  } catch (error) {
    if (!isRefusal(error, sftpCodes.noSuchFile)) throw error;
  }
}
