import { backupIdPattern } from '../core/backup.ts';
import { fileSetSchema, type FileSet } from '../core/record.ts';
import { layout } from './layout.ts';
import type { Repository } from './repository.ts';
import { sealed, sealOf, unsealed } from './seal.ts';

/** Whose files they are. */
export type FileSetOwner = Pick<FileSet, 'model' | 'application' | 'unit'>;

const tarName = 'files.tar.zst';
const recordName = 'files.json';

function folderOf({ model, application, unit }: FileSetOwner): string {
  return layout.fileSets(model, application, unit);
}

/** Stores a file set: the tar, sealed, and its record last. */
export async function storeFileSet(
  repository: Repository,
  set: FileSet,
  tar: Uint8Array,
  level: number,
): Promise<void> {
  const folder = `${folderOf(set)}${set.id}/`;
  const plain = async function* () {
    yield tar;
  };
  await repository.storage.put(folder + tarName, sealed(plain(), await sealOf(plain()), level));
  await repository.writeJson(folder + recordName, fileSetSchema, set);
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

/** The tar of a file set; the stream fails with `damaged` unless it is what was stored. */
export async function* readFileSet(
  repository: Repository,
  set: FileSetOwner & Pick<FileSet, 'id'>,
): AsyncIterable<Uint8Array> {
  const key = `${folderOf(set)}${set.id}/${tarName}`;
  yield* unsealed(await repository.read(key), key);
}
