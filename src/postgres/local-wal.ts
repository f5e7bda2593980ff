import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import type { LocalWal } from '../core/wal-line.ts';
import { errorCode } from '../system/files.ts';
import type { Cluster } from './cluster.ts';
import { walDirectory } from './timeline-history.ts';

/** The files in a cluster's WAL directory: whether PostgreSQL may still archive them. The server need not run. */
export async function readLocalWal(cluster: Cluster): Promise<LocalWal> {
  const folder = walDirectory(cluster);
  const status = new Set(await names(join(folder, 'archive_status')));
  return new Map((await names(folder)).map((name) => [name, status.has(`${name}.done`) ? 'done' : 'waits'] as const));
}

/** What waits to be archived. */
export interface WaitingWal {
  readonly files: number;
  readonly bytes: number;
  /** The one that waits longest, and since when; `undefined` when nothing waits. */
  readonly oldest: { readonly name: string; readonly since: Date } | undefined;
  /** What is left on the file system on which they wait. */
  readonly freeBytes: number;
}

/** Counts what PostgreSQL has marked for archiving and nobody has taken yet. */
export async function countWaiting(cluster: Cluster): Promise<WaitingWal> {
  const folder = walDirectory(cluster);
  let [files, bytes] = [0, 0];
  let oldest: WaitingWal['oldest'];
  for (const marker of await names(join(folder, 'archive_status'))) {
    if (!marker.endsWith('.ready')) continue;
    const name = marker.slice(0, -'.ready'.length);
    const marked = await lookAt(join(folder, 'archive_status', marker));
    const waiting = await lookAt(join(folder, name));
    if (marked === undefined || waiting === undefined) continue; // Taken since the folder was read.
    files += 1;
    bytes += waiting.size;
    if (oldest === undefined || marked.mtime < oldest.since) oldest = { name, since: marked.mtime };
  }
  const { bavail, bsize } = await statfs(folder).catch((error: unknown) => {
    throw unreadable(folder, error);
  });
  return { files, bytes, oldest, freeBytes: bavail * bsize };
}

async function names(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch((error: unknown) => {
    throw unreadable(folder, error);
  });
}

async function lookAt(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): Failure {
  return new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
}
