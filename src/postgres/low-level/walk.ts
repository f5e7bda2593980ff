import type { Stats } from 'node:fs';
import { lstat, opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../core/failure.ts';
import { errorCode } from '../../system/files.ts';
import { judgeName } from './exclusions.ts';

/** A file or directory that belongs into a base backup, as it was when it was found. */
export interface FoundMember {
  /** Relative to the root of the walk. */
  readonly path: string;
  readonly directory: string;
  readonly name: string;
  readonly kind: 'file' | 'directory';
  readonly stats: Stats;
}

/** What is walked. */
export interface WalkRequest {
  readonly root: string;
  /** Where below the root the walk begins; `''` is the root itself. */
  readonly from: string;
  /** Directories, by their paths below the root, of which only the directory itself is told. */
  readonly hollow: ReadonlySet<string>;
  /** Files that the caller brings himself. */
  readonly omitted: ReadonlySet<string>;
  /** Told of what is neither file nor directory, and of names that can't be read. */
  readonly warn: (text: string) => void;
}

/**
 * Finds what belongs into a base backup, directories before what is in them. What vanishes meanwhile is passed over: WAL
 * tells recovery that it was dropped.
 */
export async function* walkForBackup(request: WalkRequest): AsyncIterable<FoundMember> {
  yield* walk(request, request.from);
}

async function* walk(request: WalkRequest, directory: string): AsyncIterable<FoundMember> {
  const here = join(request.root, directory);
  for await (const name of namesIn(here)) {
    const path = directory === '' ? name : `${directory}/${name}`;
    if (request.omitted.has(path)) continue;
    const judgement = judgeName(directory, name);
    if (judgement.is === 'left out') continue;
    if (judgement.is === 'left out beside' && (await look(join(here, judgement.name))) !== undefined) continue;
    const isHollow = judgement.is === 'emptied' || request.hollow.has(path);
    const stats = await look(join(here, name), isHollow);
    if (stats === undefined) {
      // A name that is no UTF-8 comes out changed, and under the changed name there is nothing.
      if (name.includes('\ufffd')) request.warn(`left out "${join(here, name)}": its name is not UTF-8`);
      continue;
    }
    const found = { path, directory, name, stats };
    if (stats.isDirectory()) {
      yield { ...found, kind: 'directory' };
      if (!isHollow) yield* walk(request, path);
    } else if (stats.isFile()) yield { ...found, kind: 'file' };
    else if (directory !== 'pg_tblspc') request.warn(`left out the special file "${join(here, name)}"`);
  }
}

/** The names in a directory, as many at a time as memory does not notice; none when it has gone. */
async function* namesIn(path: string): AsyncIterable<string> {
  const opened = await unlessGone(path, async () => await opendir(path, { bufferSize: 128 }));
  if (opened === undefined) return;
  try {
    for (;;) {
      const entry = await unlessGone(path, async () => await opened.read());
      if (entry === undefined || entry === null) return;
      yield entry.name;
    }
  } finally {
    await opened.close();
  }
}

/** What lies under a name, a link's target only where that stands for a directory; `undefined` when nothing does. */
async function look(path: string, follows = false): Promise<Stats | undefined> {
  return await unlessGone(path, async () => await (follows ? stat(path) : lstat(path)));
}

/** The result of some work on a path; `undefined` when the path is gone. */
export async function unlessGone<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw cannotRead(path, error);
  }
}

/** A file of the cluster could not be read: the backup fails and names it. */
export function cannotRead(path: string, error: unknown): Failure {
  return new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, {
    hint: 'Look at the disk (dmesg) and at who may read it (ls -l), then take the backup again.',
    cause: error,
  });
}
