import { backupIdPattern } from '../core/backup.ts';
import { isFailure } from '../core/failure.ts';
import { fileSetSchema, type FileSet } from '../core/record.ts';
import { openCurrent } from './generations.ts';
import { layout } from './layout.ts';
import type { Repository } from './repository.ts';
import { compressedAs, sealOf } from './seal.ts';
import { ageSuffix, plainForm, proveObjectOpens, storedForm } from './stored-form.ts';

/** Whose files they are. */
export type FileSetOwner = Pick<FileSet, 'model' | 'application' | 'unit'>;

const recordName = 'files.json';

function tarKey({ keys }: Repository, set: FileSetOwner & Pick<FileSet, 'id'>): string {
  return `${folderOf(set)}${set.id}/files.tar.zst${keys.isEncrypted ? ageSuffix : ''}`;
}

function folderOf({ model, application, unit }: FileSetOwner): string {
  return layout.fileSets(model, application, unit);
}

/** Stores a file set: the tar, sealed, and its record last. `tar` makes the same stream twice; nothing is held in memory. */
export async function storeFileSet(
  repository: Repository,
  set: FileSet,
  tar: () => AsyncIterable<Uint8Array>,
  level: number,
): Promise<void> {
  const seal = await sealOf(tar());
  await repository.storage.put(
    tarKey(repository, set),
    storedForm(repository.keys, seal, compressedAs(tar(), seal, level)),
  );
  await repository.writeJson(`${folderOf(set)}${set.id}/${recordName}`, fileSetSchema, set);
}

/** The complete file sets of a unit, in no order that means anything. */
export async function listFileSets(repository: Repository, owner: FileSetOwner): Promise<readonly FileSet[]> {
  const sets: FileSet[] = [];
  for (const name of await repository.storage.folders(folderOf(owner))) {
    const id = name.slice(0, -1);
    if (!backupIdPattern.test(id)) continue;
    const set = await repository.readJson(`${folderOf(owner)}${id}/${recordName}`, fileSetSchema);
    if (set !== undefined) sets.push(set);
  }
  return sets;
}

/** All file sets of all units, and the places below which something lies that can't be read. */
export async function listAllFileSets(
  repository: Repository,
): Promise<{ readonly sets: readonly FileSet[]; readonly unreadable: readonly string[] }> {
  const sets: FileSet[] = [];
  const unreadable: string[] = [];
  let folders: readonly string[] = [layout.files];
  for (const _level of ['model', 'application', 'unit', 'set']) folders = await below(repository, folders);
  for (const folder of folders) {
    try {
      const set = await repository.readJson(folder + recordName, fileSetSchema);
      if (set !== undefined) sets.push(set);
    } catch (error) {
      if (!isFailure(error, 'damaged')) throw error;
      unreadable.push(folder);
    }
  }
  return { sets, unreadable };
}

async function below(repository: Repository, folders: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const folder of folders) {
    for (const name of await repository.storage.folders(folder)) if (name.endsWith('/')) found.push(folder + name);
  }
  return found;
}

/** The tar of a file set; the stream fails with `damaged` unless it is what was stored. */
export async function* readFileSet(
  repository: Repository,
  set: FileSetOwner & Pick<FileSet, 'id'>,
): AsyncIterable<Uint8Array> {
  const { stored, key } = await openCurrent(repository, tarKey(repository, set));
  yield* plainForm(repository.keys, stored, key);
}

/** Tries whether what is at hand opens a file set. Fails as reading it would; reads no more than its beginning. */
export async function proveFileSetOpens(
  repository: Repository,
  set: FileSetOwner & Pick<FileSet, 'id'>,
): Promise<void> {
  if (!repository.keys.isEncrypted) return;
  await proveObjectOpens(repository, async (range) => await openCurrent(repository, tarKey(repository, set), range));
}
