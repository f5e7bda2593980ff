import { constants } from 'node:fs';
import { lstat, open, readlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode } from './files.ts';

/**
 * A directory that is held open. Names in it are reached through the handle, so that nobody can put a link in the place of
 * one of its parents meanwhile: `openat(2)`, which Node lacks, by way of `/proc/self/fd`.
 */
export interface HeldDirectory {
  readonly handle: FileHandle;
  /** The directory's own name through the handle. */
  readonly self: string;
  /** A name in it. Whoever opens it says `O_NOFOLLOW`. */
  at(name: string): string;
  close(): Promise<void>;
}

const asDirectory = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** As many links as the kernel follows in one path. */
const mostLinks = 40;

/** Holds a directory that lies in a held one; a link under that name is not followed (`ELOOP` or `ENOTDIR`). */
export async function holdChild(parent: HeldDirectory, name: string): Promise<HeldDirectory> {
  return hold(await open(parent.at(name), asDirectory));
}

function hold(handle: FileHandle): HeldDirectory {
  const self = `/proc/self/fd/${handle.fd}`;
  return { handle, self, at: (name) => `${self}/${name}`, close: async () => await handle.close() };
}

/**
 * Walks a path below `root` name by name and holds the directory at its end.
 *
 * Links are followed only where root alone could have made them: in any other directory whoever can write there could send
 * root anywhere, and that is a `refused` failure. A link stays below `root`, wherever it points. An error of the operating
 * system is thrown as it is (`ENOENT`).
 */
export async function holdDirectory(root: string, path: string): Promise<HeldDirectory> {
  let walked: string[] = [];
  let ahead = namesOf(path);
  let links = 0;
  let here = hold(await open(root, constants.O_RDONLY | constants.O_DIRECTORY));
  try {
    for (;;) {
      const [name, ...rest] = ahead;
      if (name === undefined) return here;
      const next = name === '..' ? { restart: [...walked.slice(0, -1), ...rest] } : await step(here, name, path);
      if ('held' in next) {
        await here.close();
        here = next.held;
        walked = [...walked, name];
        ahead = rest;
        continue;
      }
      links += 1;
      if (links > mostLinks) throw new Failure('refused', `${path} goes through more than ${mostLinks} links`);
      if ('restart' in next) ahead = next.restart;
      else
        ahead = next.link.startsWith('/')
          ? [...namesOf(next.link), ...rest]
          : [...walked, ...namesOf(next.link), ...rest];
      walked = [];
      await here.close();
      here = hold(await open(root, constants.O_RDONLY | constants.O_DIRECTORY));
    }
  } catch (error) {
    await here.close();
    throw error;
  }
}

async function step(
  here: HeldDirectory,
  name: string,
  path: string,
): Promise<{ readonly held: HeldDirectory } | { readonly link: string }> {
  try {
    return { held: await holdChild(here, name) };
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'ELOOP' && code !== 'ENOTDIR') throw error;
    if (!(await lstat(here.at(name))).isSymbolicLink()) throw error;
    if (!(await onlyRootCouldWrite(here))) {
      throw new Failure(
        'refused',
        `${name} in ${path} is a link that another user could have made: it is not followed`,
        {
          hint: `Make it a directory, or let its parent belong to root alone (ls -ld ${join(path, '..')}).`,
        },
      );
    }
    return { link: await readlink(here.at(name)) };
  }
}

/** Who is not root follows links with no more rights than those who made them. */
async function onlyRootCouldWrite(here: HeldDirectory): Promise<boolean> {
  if (process.geteuid?.() !== 0) return true;
  const { uid, mode } = await here.handle.stat();
  return uid === 0 && (mode & 0o022) === 0;
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}
