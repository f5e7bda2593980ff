import { readFile, readdir } from 'node:fs/promises';
import { dirname, basename, join } from 'node:path';
import { Failure, isFailure } from '../core/failure.ts';
import { fitsName } from '../core/landscape-profile.ts';
import { errorCode } from '../system/files.ts';
import { holdDirectory, type HeldDirectory } from '../system/held-directory.ts';

/** The machine that a Landscape unit is: `/`, or a directory that stands for it. All paths are told as below it. */
export interface LandscapeMachine {
  readonly root: string;
}

/** The text of a file in a place that only root writes; `undefined` when there is none. */
export async function readMachineText({ root }: LandscapeMachine, path: string): Promise<string | undefined> {
  const held = await holdDirectory(root, dirname(path)).catch(absent);
  if (held === undefined) return undefined;
  try {
    return await readFile(held.at(basename(path)), 'utf8');
  } catch (error) {
    return absent(error, path);
  } finally {
    await held.close();
  }
}

function absent(error: unknown, path?: string): undefined {
  const code = errorCode(error);
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
  if (error instanceof Failure || path === undefined) throw error;
  throw new Failure('machine', `${path} could not be read: ${code ?? String(error)}`, { cause: error });
}

/**
 * The paths that a pattern with stars names here; one without stars names itself, there or not. So does one that leads
 * through a link that another user could have made.
 */
export async function expandPattern({ root }: LandscapeMachine, pattern: string): Promise<readonly string[]> {
  let found: readonly string[] = ['/'];
  for (const part of pattern.split('/').filter((each) => each !== '')) {
    const next: string[] = [];
    for (const folder of found) {
      const names = part.includes('*') ? await namesIn(root, folder, part) : [part];
      next.push(...names.map((name) => join(folder, name)));
    }
    found = next;
  }
  return found;
}

async function namesIn(root: string, folder: string, pattern: string): Promise<readonly string[]> {
  let held: HeldDirectory | undefined;
  try {
    held = await holdDirectory(root, folder);
  } catch (error) {
    return isFailure(error, 'refused') ? [pattern] : (absent(error) ?? []);
  }
  try {
    return (await readdir(held.self)).filter((name) => fitsName(name, pattern)).sort();
  } finally {
    await held.close();
  }
}
