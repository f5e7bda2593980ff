import { readlink, rename, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode, randomName, syncDirectory } from './files.ts';

/** Where a link points; `undefined` when there is nothing, or something else, under the name. */
export async function readLink(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'EINVAL') return undefined;
    throw error;
  }
}

/** Points a link elsewhere, durably: whoever follows it, at any instant, comes to the old or the new target. */
export async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomName()}.tmp`);
  await symlink(target, temporary);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}
