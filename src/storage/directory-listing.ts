import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode } from '../system/files.ts';
import { directoryFailure } from './directory-failure.ts';
import type { PatientFiles } from './patient-files.ts';

/** A file as it was found. */
export interface FoundFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly changedAt: Date;
}

const temporaryPattern = /^\..*\.tmp$/;
const batch = 64;

/** The name of a temporary file in a folder. */
export function temporaryName(random: string): string {
  return `.${random}.tmp`;
}

/** Tells objects from what a put leaves behind when it is killed. */
export function isTemporary(name: string): boolean {
  return temporaryPattern.test(name);
}

/** A file system's own (`lost+found`, `.snapshot`, `.nfs0001`): no key has such a part, so it is not ours to look at. */
export function isObject(name: string): boolean {
  return !name.startsWith('.');
}

/**
 * The names in a folder in the order of keys, folders with a slash at their end; `undefined` when there is no such folder.
 *
 * A symbolic link is `refused`: skipping it would say "absent" of what lies behind it.
 */
export async function readFolder(files: PatientFiles, folder: string): Promise<readonly string[] | undefined> {
  const names: string[] = [];
  try {
    for (const entry of await files.entries(folder)) {
      if (entry.isSymbolicLink() && isObject(entry.name)) throw symbolicLink(join(folder, entry.name));
      if (entry.isFile()) names.push(entry.name);
      else if (entry.isDirectory() && isObject(entry.name) && entry.name !== 'lost+found') names.push(`${entry.name}/`);
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
    throw directoryFailure(error, folder);
  }
  return names.sort(byBytes);
}

function symbolicLink(path: string): Failure {
  return new Failure('refused', `${path} is a symbolic link, and a repository holds none`, {
    hint: 'Put the files themselves in its place; to spread a repository over disks, mount one there.',
  });
}

function byBytes(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Looks at files of a folder, several at once: one after the other is slow on NFS. Those that are gone are left out. */
export async function* lookAtFiles(
  files: PatientFiles,
  folder: string,
  names: readonly string[],
): AsyncIterable<FoundFile> {
  for (let at = 0; at < names.length; at += batch) {
    const found = await Promise.all(
      names.slice(at, at + batch).map(async (name) => await lookAtFile(files, join(folder, name))),
    );
    for (const file of found) if (file !== undefined) yield file;
  }
}

async function lookAtFile(files: PatientFiles, path: string): Promise<FoundFile | undefined> {
  try {
    const { size, mtime } = await files.stat(path);
    return { path, sizeBytes: size, changedAt: mtime };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw directoryFailure(error, path);
  }
}
