import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lchown, lstat, mkdir, open, readlink, rename, rmdir, symlink, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode } from './files.ts';
import { readExactly } from './file-tree.ts';
import { holdChild, holdDirectory, type HeldDirectory } from './held-directory.ts';

/** How a name shall be, by whom and with which rights. */
interface Rights {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What shall lie under a name, or lies there. */
export type Placed =
  | ({ readonly kind: 'file' } & Rights)
  | ({ readonly kind: 'directory' } & Rights)
  | ({ readonly kind: 'link'; readonly target: string } & Pick<Rights, 'uid' | 'gid'>)
  | { readonly kind: 'absent' };

/** What lies under a name: with the SHA-256 of a file. What is neither file, directory nor link is `other`. */
export type Found = { readonly placed: Placed; readonly sha256: string | null } | 'other';

/** Where and how names are placed. The temporary name is the same each time: what a killed run left is overwritten. */
export interface Placing {
  readonly root: string;
  /** A word in temporary names. */
  readonly mark: string;
}

async function withParent<T>(
  { root }: Pick<Placing, 'root'>,
  path: string,
  work: (parent: HeldDirectory, name: string) => Promise<T>,
): Promise<T> {
  const parent = await holdDirectory(root, dirname(path));
  try {
    return await work(parent, basename(path));
  } finally {
    await parent.close();
  }
}

/** Says what lies under a name, and hands the bytes of a file to `keep`. No link is followed but those that root alone made. */
export async function lookAtPlace(
  placing: Pick<Placing, 'root'>,
  path: string,
  keep?: (bytes: AsyncIterable<Buffer>) => Promise<void>,
): Promise<Found> {
  try {
    return await withParent(placing, path, async (parent, name) => {
      const stats = await lstat(parent.at(name));
      const owner = { uid: stats.uid, gid: stats.gid };
      if (stats.isSymbolicLink()) {
        return { placed: { kind: 'link', target: await readlink(parent.at(name)), ...owner }, sha256: null };
      }
      if (stats.isDirectory())
        return { placed: { kind: 'directory', mode: stats.mode & 0o7777, ...owner }, sha256: null };
      return stats.isFile() ? await lookAtFile(parent, name, path, keep) : 'other';
    });
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return { placed: { kind: 'absent' }, sha256: null };
    throw error;
  }
}

async function lookAtFile(
  parent: HeldDirectory,
  name: string,
  path: string,
  keep: ((bytes: AsyncIterable<Buffer>) => Promise<void>) | undefined,
): Promise<Found> {
  const handle = await open(parent.at(name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) return 'other';
    const hash = createHash('sha256');
    const hashed = async function* () {
      for await (const chunk of readExactly(handle, stats.size, path)) {
        hash.update(chunk);
        yield chunk;
      }
    };
    if (keep === undefined) for await (const _chunk of hashed());
    else await keep(hashed());
    const placed = { kind: 'file', mode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid } as const;
    return { placed, sha256: hash.digest('hex') };
  } finally {
    await handle.close();
  }
}

/** Puts a file in its place as a whole, durably: whoever reads it, at any instant, finds the old or the new one. */
export async function placeFile(
  placing: Placing,
  path: string,
  rights: Rights,
  contents: AsyncIterable<Uint8Array>,
): Promise<void> {
  await withParent(placing, path, async (parent, name) => {
    const temporary = parent.at(temporaryName(placing, name));
    await clear(temporary);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const handle = await open(temporary, flags, 0o600);
    try {
      for await (const chunk of contents) await handle.writeFile(chunk);
      await handle.chown(rights.uid, rights.gid);
      await handle.chmod(rights.mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await swap(parent, temporary, name, path);
  });
}

/** Puts a link in its place. */
export async function placeLink(
  placing: Placing,
  path: string,
  { target, uid, gid }: { readonly target: string; readonly uid: number; readonly gid: number },
): Promise<void> {
  await withParent(placing, path, async (parent, name) => {
    const temporary = parent.at(temporaryName(placing, name));
    await clear(temporary);
    await symlink(target, temporary);
    await lchown(temporary, uid, gid);
    await swap(parent, temporary, name, path);
  });
}

async function swap(parent: HeldDirectory, temporary: string, name: string, path: string): Promise<void> {
  try {
    await rename(temporary, parent.at(name));
  } catch (error) {
    await clear(temporary);
    if (errorCode(error) !== 'EISDIR' && errorCode(error) !== 'ENOTEMPTY') throw error;
    throw new Failure('refused', `${path} is a directory here, and none in what is restored`, {
      hint: `Move it elsewhere, then try again: mv ${path} ${path}.before`,
      cause: error,
    });
  }
  await parent.handle.sync();
}

/** Makes a directory, or gives the one that is there these rights. */
export async function placeDirectory(placing: Placing, path: string, rights: Rights): Promise<void> {
  await withParent(placing, path, async (parent, name) => {
    try {
      await mkdir(parent.at(name), { mode: 0o700 });
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
    const held = await holdChild(parent, name).catch((error: unknown) => {
      throw new Failure('refused', `${path} is no directory here, and one in what is restored`, {
        hint: `Look at what it is: ls -ld ${path}`,
        cause: error,
      });
    });
    try {
      await held.handle.chown(rights.uid, rights.gid);
      await held.handle.chmod(rights.mode);
      await held.handle.sync();
    } finally {
      await held.close();
    }
    await parent.handle.sync();
  });
}

/** Removes a file or a link, or a directory that is empty. What is not there is gone; `kept` is a directory with others' files. */
export async function removePlace(placing: Placing, path: string): Promise<'gone' | 'kept'> {
  try {
    return await withParent(placing, path, async (parent, name) => {
      const stats = await lstat(parent.at(name));
      await (stats.isDirectory() ? rmdir(parent.at(name)) : unlink(parent.at(name)));
      await parent.handle.sync();
      return 'gone' as const;
    });
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'gone';
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return 'kept';
    throw error;
  }
}

/** Removes what a run that was killed may have left beside a name. */
export async function clearTemporary(placing: Placing, path: string): Promise<void> {
  try {
    await withParent(placing, path, async (parent, name) => {
      await clear(parent.at(temporaryName(placing, name)));
    });
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error;
  }
}

/** Names of files are at most 255 bytes. */
function temporaryName({ mark }: Placing, name: string): string {
  const short = createHash('sha256').update(name).digest('hex').slice(0, 12);
  return `.landscape-backup-${mark}-${short}.tmp`;
}

async function clear(temporary: string): Promise<void> {
  try {
    await unlink(temporary);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}
