import { constants } from 'node:fs';
import { chmod, copyFile, link, lstat, mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { Refused } from './refused.ts';

const smallBytes = 1024 * 1024;

/** Every path of a charm below its directory, folders before what is in them. */
async function pathsOf(directory: string): Promise<readonly string[]> {
  return (await readdir(directory, { recursive: true })).sort();
}

/**
 * Writes a charm over the one that is there: each file is removed and made anew, what only the old one had goes, what the
 * charm itself has made stays. Gives back the paths, for the next time.
 */
export async function deployFiles(from: string, to: string, before: readonly string[]): Promise<readonly string[]> {
  await mkdir(to, { recursive: true });
  const paths = await pathsOf(from);
  for (const path of paths) await deployOne(join(from, path), join(to, path), path);
  const kept = new Set(paths);
  for (const path of before.toReversed()) {
    // What lies in a folder that only the old charm had goes with it.
    if (!kept.has(path)) await rm(join(to, path), { recursive: true, force: true });
  }
  return paths;
}

async function deployOne(source: string, target: string, path: string): Promise<void> {
  const info = await lstat(source);
  if (info.isDirectory()) {
    await mkdir(target, { recursive: true });
    return;
  }
  await rm(target, { recursive: true, force: true });
  if (info.isSymbolicLink()) {
    const goal = await readlink(source);
    checkLink(path, goal);
    await symlink(goal, target);
  } else if (!info.isFile()) throw new Refused(`charm has a file of an unknown kind: ${path}`);
  else if (info.size > smallBytes) await linkOrCopy(source, target);
  else {
    await copyFile(source, target, constants.COPYFILE_FICLONE);
    await chmod(target, info.mode & 0o777);
  }
}

/** Refuses a symlink that leads out of the charm. */
export function checkLink(path: string, goal: string): void {
  if (goal.startsWith('/')) throw new Refused(`symlink "${path}" is absolute`);
  if (normalize(join(dirname(path), goal)).startsWith('..')) throw new Refused(`symlink "${path}" links out of charm`);
}

/** A big file, the runtime's, is not worth a copy for each unit. */
async function linkOrCopy(source: string, target: string): Promise<void> {
  try {
    await link(source, target);
  } catch {
    await copyFile(source, target, constants.COPYFILE_FICLONE);
  }
}
