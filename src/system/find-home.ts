import { access, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { environment } from './environment.ts';
import { errorCode } from './files.ts';
import { settingsFile } from './home.ts';

/** Where local state lives on a machine. */
export const homeRoot = '/var/lib/landscape-backup';

/**
 * The home that is meant where nobody names one: the environment's, the root's own where it has settings, else the only one
 * below it that has (a unit's, written by its charm). Fails with `usage` where several have.
 */
export async function findHome(root = homeRoot): Promise<string> {
  const named = environment.home();
  if (named !== undefined) return named;
  if (await isThere(settingsFile(root))) return root;
  const [only, ...others] = await homesBelow(root);
  if (only === undefined) return root;
  if (others.length === 0) return only;
  throw new Failure('usage', `this machine has several units: ${[only, ...others].join(', ')}`, {
    hint: 'Say which with --home.',
  });
}

async function homesBelow(root: string): Promise<readonly string[]> {
  const names = await readdir(root).catch((error: unknown) => {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw new Failure('machine', `${root} could not be read: ${code ?? String(error)}`, { cause: error });
  });
  const homes: string[] = [];
  for (const name of names.toSorted((a, b) => (a < b ? -1 : 1))) {
    if (await isThere(settingsFile(join(root, name)))) homes.push(join(root, name));
  }
  return homes;
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/**
 * The path of a runtime that outlives an upgrade. An installed one lies in `versions/<digest>`, which a later upgrade
 * removes; PostgreSQL and systemd are told the link beside it.
 */
export async function lastingRuntime(path: string): Promise<string> {
  const versions = dirname(path);
  if (basename(versions) !== 'versions') return path;
  const link = join(dirname(versions), 'runtime');
  return (await isThere(link)) ? link : path;
}
