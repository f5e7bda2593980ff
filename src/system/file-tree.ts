import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode } from './files.ts';
import { run } from './process.ts';

/** One name in a tree of files, as it lies there; a link is told as a link and never followed. */
interface TreeEntry {
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link';
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
  readonly sizeBytes: number;
  /** Of the contents of a file, else null. */
  readonly sha256: string | null;
  /** Where a link points, else null. */
  readonly target: string | null;
}

/** What was found below some paths. */
export interface Tree {
  /** In the order of their paths. */
  readonly entries: readonly TreeEntry[];
  /** Paths that are not there, or that this user may not read. */
  readonly missing: readonly string[];
}

type Found = Omit<TreeEntry, 'owner' | 'group'>;

/** Looks at everything below some paths; what is neither file, directory nor link is left out. */
export async function readTree(roots: readonly string[], isWanted: (path: string) => boolean): Promise<Tree> {
  const found: Found[] = [];
  const missing: string[] = [];
  for (const root of roots) await collect(root, isWanted, found, missing);
  found.sort((a, b) => (a.path < b.path ? -1 : 1));
  const owners = await ownersOf(found.map(({ path }) => path));
  return { entries: found.map((entry, index) => ({ ...entry, ...(owners[index] ?? nobody) })), missing };
}

const nobody = { owner: 'UNKNOWN', group: 'UNKNOWN' };

async function collect(
  path: string,
  isWanted: (path: string) => boolean,
  found: Found[],
  missing: string[],
): Promise<void> {
  if (!isWanted(path)) return;
  try {
    const stats = await lstat(path);
    const common = { path, mode: stats.mode & 0o7777, sizeBytes: 0, sha256: null, target: null };
    if (stats.isSymbolicLink()) found.push({ ...common, kind: 'link', target: await readlink(path) });
    else if (stats.isFile()) found.push({ ...common, kind: 'file', ...(await contentsOf(path)) });
    else if (stats.isDirectory()) {
      const names = await readdir(path);
      found.push({ ...common, kind: 'directory' });
      for (const name of names.sort()) await collect(join(path, name), isWanted, found, missing);
    }
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ELOOP') missing.push(path);
    else if (error instanceof Failure) throw error;
    else throw new Failure('machine', `${path} could not be read: ${code ?? String(error)}`, { cause: error });
  }
}

async function contentsOf(path: string): Promise<{ sizeBytes: number; sha256: string }> {
  // O_NOFOLLOW: since it was looked at, somebody may have put a link in its place.
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of handle.createReadStream()) {
    if (!Buffer.isBuffer(chunk)) continue;
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

const pathsPerRun = 200;

async function ownersOf(paths: readonly string[]): Promise<readonly { owner: string; group: string }[]> {
  const owners: { owner: string; group: string }[] = [];
  for (let start = 0; start < paths.length; start += pathsPerRun) {
    const some = paths.slice(start, start + pathsPerRun);
    const { stdout } = await run('stat', ['--format=%U %G', '--', ...some]);
    for (const line of stdout.split('\n')) {
      const [owner = nobody.owner, group = nobody.group] = line.split(' ');
      owners.push({ owner, group });
    }
  }
  return owners;
}
