import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode, syncDirectory } from '../system/files.ts';

/** The beginning of the names of folders with a directory's old contents; base backups leave out what begins with `pgsql_tmp`. */
export const asidePrefix = 'pgsql_tmp.landscape-backup-old-';

/** Without it no server starts in a data directory: it goes first, and it comes last. */
const heart = 'global';

/** The name of the folder in which the restore of a plan leaves old contents. */
export function asideName(planId: string): string {
  return `${asidePrefix}${planId}`;
}

/** The contents that a restore may touch: not what earlier ones set aside, nor what belongs to a file system. */
async function contentsOf(directory: string): Promise<readonly string[]> {
  const names = await namesIn(directory);
  const own = names.filter((name) => !name.startsWith(asidePrefix) && name !== 'lost+found');
  return own.sort((a, b) => Number(b === heart) - Number(a === heart) || (a < b ? -1 : 1));
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw new Failure('machine', `${directory} could not be read: ${errorCode(error) ?? String(error)}`, {
      cause: error,
    });
  }
}

/**
 * Moves a directory's contents into a folder of its own inside it, name by name; the directory itself, which may be a mount
 * point, a link's target or have a mode that somebody chose, stays. May be repeated after it was interrupted.
 */
export async function setAside(directory: string, planId: string): Promise<void> {
  const aside = join(directory, asideName(planId));
  if ((await contentsOf(directory)).length === 0) return;
  await mkdir(aside, { mode: 0o700, recursive: true });
  await syncDirectory(directory);
  for (const name of await contentsOf(directory)) {
    await rename(join(directory, name), join(aside, name));
    if (name === heart) await syncBoth(directory, aside);
  }
  await syncBoth(directory, aside);
}

/** Puts back what was set aside. What lies in its place must be gone. May be repeated after it was interrupted. */
export async function putBack(directory: string, planId: string): Promise<void> {
  const aside = join(directory, asideName(planId));
  const names = [...(await namesIn(aside))].sort((a, b) => Number(a === heart) - Number(b === heart));
  for (const name of names) {
    if (name === heart) await syncBoth(directory, aside);
    await rename(join(aside, name), join(directory, name));
  }
  if (!(await namesIn(directory)).includes(asideName(planId))) return;
  await syncBoth(directory, aside);
  await rmdir(aside);
  await syncDirectory(directory);
}

/** Removes a directory's contents for good, but not what was set aside. May be repeated after it was interrupted. */
export async function clearDirectory(directory: string): Promise<void> {
  const names = await contentsOf(directory);
  if (names.length === 0) return;
  // Without its control file nobody starts what is left of it, whenever the power goes.
  if (names.includes(heart)) {
    await rm(join(directory, heart, 'pg_control'), { force: true });
    await syncIfThere(join(directory, heart));
  }
  for (const name of names) await rm(join(directory, name), { recursive: true, force: true });
  await syncDirectory(directory);
}

/** The folders with old contents in a directory. */
export async function asideFolders(directory: string): Promise<readonly string[]> {
  const names = await namesIn(directory);
  return names.filter((name) => name.startsWith(asidePrefix)).map((name) => join(directory, name));
}

/** Removes a folder with old contents. */
export async function removeAside(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await syncDirectory(dirname(folder));
}

async function syncBoth(directory: string, aside: string): Promise<void> {
  await syncDirectory(aside);
  await syncDirectory(directory);
}

async function syncIfThere(path: string): Promise<void> {
  try {
    await syncDirectory(path);
  } catch (error) {
    // Somebody's link or file by that name: it goes with the rest.
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error;
  }
}
