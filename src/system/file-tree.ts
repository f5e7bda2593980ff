import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir, readlink, type FileHandle } from 'node:fs/promises';
import { dirname, basename, join } from 'node:path';
import { Failure, isFailure } from '../core/failure.ts';
import { readAccounts, type Accounts } from './accounts.ts';
import { errorCode } from './files.ts';
import { holdChild, holdDirectory, type HeldDirectory } from './held-directory.ts';

/** One name in a tree of files, as it lies there; a link is told as a link and never followed. */
export interface TreeEntry {
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
  readonly modifiedAt: Date;
}

/** What was found below some paths. */
export interface Tree {
  /** In the order of their paths. */
  readonly entries: readonly TreeEntry[];
  /** Paths that are not there, or that this user may not read. */
  readonly missing: readonly string[];
}

/** What is looked at. Paths are told as they are below `root`. */
export interface TreeRequest {
  readonly root: string;
  readonly paths: readonly string[];
  readonly isWanted: (path: string) => boolean;
}

/**
 * Looks at everything below some paths; what is neither file, directory nor link is left out.
 *
 * A file that grows meanwhile is told as it was when it was opened.
 */
export async function readTree({ root, paths, isWanted }: TreeRequest): Promise<Tree> {
  const found = new Map<string, TreeEntry>();
  const missing = new Set<string>();
  const look: Look = { accounts: readAccounts(root), isWanted, found, missing };
  for (const path of paths) {
    await tolerant(path, missing, async () => {
      const parent = await holdDirectory(root, dirname(path));
      try {
        await collect(look, parent, path);
      } finally {
        await parent.close();
      }
    });
  }
  const entries = [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  return { entries, missing: [...missing].sort() };
}

interface Look {
  readonly accounts: Accounts;
  readonly isWanted: (path: string) => boolean;
  readonly found: Map<string, TreeEntry>;
  readonly missing: Set<string>;
}

async function tolerant(path: string, missing: Set<string>, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ELOOP' || code === 'ENOTDIR') missing.add(path);
    else if (isFailure(error, 'refused')) missing.add(path);
    else if (error instanceof Failure) throw error;
    else throw new Failure('machine', `${path} could not be read: ${code ?? String(error)}`, { cause: error });
  }
}

async function collect(look: Look, parent: HeldDirectory, path: string): Promise<void> {
  if (!look.isWanted(path) || look.found.has(path)) return;
  await tolerant(path, look.missing, async () => {
    const name = basename(path);
    const stats = await lstat(parent.at(name));
    if (stats.isSymbolicLink()) {
      await keep(look, path, stats, { kind: 'link', target: await readlink(parent.at(name)) });
    } else if (stats.isFile()) {
      await withFile(parent.at(name), async (handle, opened) => {
        const hash = createHash('sha256');
        for await (const chunk of readExactly(handle, opened.size, path)) hash.update(chunk);
        await keep(look, path, opened, { kind: 'file', sizeBytes: opened.size, sha256: hash.digest('hex') });
      });
    } else if (stats.isDirectory()) {
      const held = await holdChild(parent, name);
      try {
        const names = await readdir(held.self);
        await keep(look, path, await held.handle.stat(), { kind: 'directory' });
        for (const child of names.sort()) await collect(look, held, join(path, child));
      } finally {
        await held.close();
      }
    }
  });
}

type Special = Pick<TreeEntry, 'kind'> & Partial<Pick<TreeEntry, 'sizeBytes' | 'sha256' | 'target'>>;

async function keep({ accounts, found }: Look, path: string, stats: Stats, special: Special): Promise<void> {
  found.set(path, {
    path,
    mode: stats.mode & 0o7777,
    owner: (await accounts.users.nameOf(stats.uid)) ?? 'UNKNOWN',
    group: (await accounts.groups.nameOf(stats.gid)) ?? 'UNKNOWN',
    sizeBytes: 0,
    sha256: null,
    target: null,
    modifiedAt: stats.mtime,
    ...special,
  });
}

/** Opens a file that was looked at, and works with it; what has taken its place since, a link or a FIFO, is not followed. */
async function withFile(name: string, work: (handle: FileHandle, opened: Stats) => Promise<void>): Promise<void> {
  const handle = await open(name, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const opened = await handle.stat();
    if (opened.isFile()) await work(handle, opened);
  } finally {
    await handle.close();
  }
}

/** The first bytes of an open file, as many as were promised; fewer are a `busy` failure. */
export async function* readExactly(handle: FileHandle, bytes: number, path: string): AsyncIterable<Buffer> {
  let left = bytes;
  while (left > 0) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(left, 1024 * 1024));
    const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, null);
    if (bytesRead === 0) throw new Failure('busy', `${path} became shorter while it was read`);
    left -= bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
