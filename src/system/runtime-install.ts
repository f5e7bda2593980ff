import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode, randomName, readFileBytes, syncDirectory } from './files.ts';
import { readLink, replaceLink } from './link.ts';
import type { UnitPlaces } from './machine-paths.ts';

/** What an installation came to. */
export interface InstalledRuntime {
  /** The name of the version in force. */
  readonly version: string;
  /** It was another one before, or none. */
  readonly changed: boolean;
}

interface RuntimeFile {
  /** Relative to the runtime. */
  readonly path: string;
  readonly mode: number;
}

/**
 * Puts a runtime in force for a unit. It is copied beside the one in force, read back, made durable, and only then put in its
 * place by one rename; a version is named by its contents, so the same one is not installed twice.
 *
 * The version that was in force before stays, for processes that were started from it, until the next one comes. Whoever is
 * interrupted leaves the old or the new runtime in force, and a rest that the next call sweeps.
 */
export async function installRuntime(source: string, { versions, runtime }: UnitPlaces): Promise<InstalledRuntime> {
  const version = await digestOf(source);
  await mkdir(versions, { recursive: true, mode: 0o755 });
  if (!(await isWhole(join(versions, version), version))) await placeVersion(source, versions, version);
  const target = join(basename(versions), version);
  const before = await readLink(runtime);
  if (before !== target) {
    // First the one that must outlive this, so that a sweep after an interruption can't take it.
    if (before !== undefined) await replaceLink(previousLink(versions), before);
    await replaceLink(runtime, target);
  }
  await sweep(versions, runtime);
  return { version, changed: before !== target };
}

/**
 * Tells whether the runtime in force has the files of the charm's, by their names, modes and sizes: quick enough for every hook.
 * An upgrade whose own hook did nothing, as where Node could not start then, is found by it.
 */
export async function isInForce(source: string, { runtime }: UnitPlaces): Promise<boolean> {
  try {
    const [wanted, found] = [await sizesOf(source), await sizesOf(runtime)];
    return wanted === found;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || error instanceof Failure) return false;
    throw error;
  }
}

async function sizesOf(root: string): Promise<string> {
  const lines: string[] = [];
  for (const { path, mode } of await filesOf(root)) {
    lines.push(`${path} ${mode.toString(8)} ${(await lstat(join(root, path))).size}`);
  }
  return lines.join('\n');
}

function previousLink(versions: string): string {
  return join(dirname(versions), 'previous');
}

/** Tells whether a version lies there with all its bytes; somebody may have damaged it since. */
async function isWhole(path: string, version: string): Promise<boolean> {
  try {
    return (await digestOf(path)) === version;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    if (error instanceof Failure) return false;
    throw error;
  }
}

async function placeVersion(source: string, versions: string, version: string): Promise<void> {
  const making = join(versions, `.new-${randomName()}`);
  try {
    await copyRuntime(source, making);
    if ((await digestOf(making)) !== version) {
      throw new Failure('machine', `the copy of ${source} in ${making} is not what was copied`, {
        hint: 'The disk or the memory of this machine returns other bytes than were written: look at its log.',
      });
    }
    // A damaged one makes way; who runs it has its files open.
    await rm(join(versions, version), { recursive: true, force: true });
    await rename(making, join(versions, version));
    await syncDirectory(versions);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    if (error instanceof Failure) throw error;
    const reason = errorCode(error) ?? String(error);
    throw new Failure('machine', `the runtime could not be installed into ${versions}: ${reason}`, {
      hint: reason === 'ENOSPC' ? `Make room there: df ${versions}` : undefined,
      cause: error,
    });
  }
}

async function copyRuntime(source: string, target: string): Promise<void> {
  await mkdir(target, { mode: 0o755 });
  const folders = new Set<string>([target]);
  for (const { path, mode } of await filesOf(source)) {
    const copy = join(target, path);
    await mkdir(dirname(copy), { recursive: true, mode: 0o755 });
    folders.add(dirname(copy));
    await copyFile(join(source, path), copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    const handle = await open(copy, 'r');
    try {
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  for (const folder of folders) await syncDirectory(folder);
}

/** Names a runtime by what its files are called, hold, and may do. */
async function digestOf(root: string): Promise<string> {
  const all = createHash('sha256');
  for (const { path, mode } of await filesOf(root)) {
    const hash = createHash('sha256');
    for await (const bytes of readFileBytes(join(root, path))) hash.update(bytes);
    all.update(`${path}\n${mode.toString(8)}\n${hash.digest('hex')}\n`);
  }
  return all.digest('hex').slice(0, 32);
}

/** The files of a runtime in the order of their names. What is no file has no place in one. */
async function filesOf(root: string): Promise<readonly RuntimeFile[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files: RuntimeFile[] = [];
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile()) throw new Failure('damaged', `${path} is neither a file nor a directory`);
    const isProgram = ((await lstat(path)).mode & 0o111) !== 0;
    files.push({ path: relative(root, path), mode: isProgram ? 0o755 : 0o644 });
  }
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** Removes every version but the one in force and the one before, and what an interruption left. */
async function sweep(versions: string, runtime: string): Promise<void> {
  const kept = [await readLink(runtime), await readLink(previousLink(versions))].map((target) =>
    basename(target ?? ''),
  );
  for (const name of await readdir(versions)) {
    if (!kept.includes(name)) await rm(join(versions, name), { recursive: true, force: true });
  }
  for (const name of await readdir(dirname(versions))) {
    if (/^\..+\.tmp$/.test(name)) await rm(join(dirname(versions), name), { force: true });
  }
}
