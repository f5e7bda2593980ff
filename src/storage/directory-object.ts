import { constants } from 'node:fs';
import { Failure } from '../core/failure.ts';
import { errorCode } from '../system/files.ts';
import { directoryFailure, saidOf } from './directory-failure.ts';
import type { PatientFiles, PatientHandle } from './patient-files.ts';
import type { Range } from './storage.ts';

const readSize = 1024 * 1024;
/** What a finished object may be done with: read by its group, whatever umask the process was started with. */
const objectMode = 0o640;

/** Creates an object's temporary file; PostgreSQL starts programs with a umask that would hide it from its group. */
export async function createTemporary(files: PatientFiles, path: string): Promise<PatientHandle> {
  const handle = await files.open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, objectMode);
  try {
    if (((await handle.stat()).mode & 0o777) !== objectMode) await giveMode(handle);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function giveMode(handle: PatientHandle): Promise<void> {
  try {
    await handle.chmod(objectMode);
  } catch (error) {
    // The file is ours, so this file system has no modes; whether it can be a destination is for `link` to say.
    if (!['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes(errorCode(error) ?? '')) throw error;
  }
}

/** Writes a body to its end and makes it durable. The body's own error leaves as it is, the file's as what it means. */
export async function writeBody(handle: PatientHandle, body: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  for await (const chunk of body) {
    let written = 0;
    while (written < chunk.byteLength) {
      written += await saidOf(path, handle.write(chunk, written));
    }
  }
  await saidOf(path, handle.sync());
}

/** Gives the finished bytes their name. `taken`: it belongs to another object. */
export async function linkOnce(files: PatientFiles, temporary: string, path: string): Promise<'linked' | 'taken'> {
  try {
    await files.link(temporary, path);
    return 'linked';
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EEXIST') {
      // NFS: the answer to a first request was lost, and its repetition finds our own success.
      return (await isSameFile(files, temporary, path)) ? 'linked' : 'taken';
    }
    throw withoutLinks(code, path, error) ?? directoryFailure(error, path);
  }
}

/** Tells whether two names are one file. */
async function isSameFile(files: PatientFiles, one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([saidOf(one, files.stat(one)), saidOf(other, files.stat(other))]);
  return a.ino === b.ino && a.dev === b.dev;
}

function withoutLinks(code: string | undefined, path: string, cause: unknown): Failure | undefined {
  if (code === undefined || !['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) return undefined;
  return new Failure(
    'refused',
    `the file system of ${path} knows no hard links, so it can't refuse to overwrite (${code})`,
    {
      hint: 'Use a directory on ext4, XFS, Btrfs, ZFS or NFS as destination.',
      cause,
    },
  );
}

/** Makes an object that somebody else linked durable: they may not have lived to do it. */
export async function syncObject(files: PatientFiles, path: string, folder: string): Promise<void> {
  const handle = await saidOf(path, files.open(path, 'r'));
  try {
    await saidOf(path, handle.sync());
  } finally {
    await handle.close();
  }
  await saidOf(folder, files.syncDirectory(folder));
}

/** The bytes of an open object; the handle is closed when they have been read or nobody wants them any more. */
export async function* readObject(
  handle: PatientHandle,
  path: string,
  range: Range | undefined,
): AsyncIterable<Uint8Array> {
  try {
    let position = range?.start ?? 0;
    const end = range?.end ?? Infinity;
    while (position < end) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(readSize, end - position));
      const bytesRead = await saidOf(path, handle.read(buffer, position));
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}
