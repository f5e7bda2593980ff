import { backupSchema, type Backup, type Part } from '../core/backup.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { rewrapSchema } from '../core/record.ts';
import { folderOf } from './copy-order.ts';
import { layout, readGeneration } from './layout.ts';
import { readRecords } from './records.ts';
import type { Repository } from './repository.ts';

/**
 * The parts of a backup that were encrypted anew, by its folder: of each the highest generation that a record names. Fails with
 * `damaged` where the newest record can't be read: the others may speak of what is gone.
 */
export async function readReplaced(repository: Repository, folder: string): Promise<readonly Part[]> {
  const records = await readRecords(repository, layout.rewraps(folder), rewrapSchema);
  const newest = records.at(-1);
  if (newest !== undefined && newest.value === undefined) {
    throw new Failure('damaged', `${newest.key} can't be read, and it alone says which objects the backup consists of`);
  }
  const highest = new Map<string, Part>();
  for (const part of records.flatMap(({ value }) => value?.parts ?? [])) {
    if (numberOf(part) > numberOf(highest.get(firstName(part)))) highest.set(firstName(part), part);
  }
  return [...highest.values()];
}

/** Parts, those that were encrypted anew by what they are called now. */
export function takeReplaced(parts: readonly Part[], replaced: readonly Part[]): readonly Part[] {
  const byName = new Map(replaced.map((part) => [firstName(part), part]));
  return parts.map((part) => byName.get(firstName(part)) ?? part);
}

/** A backup by the objects that it consists of now. */
export function rewrapped(backup: Backup, replaced: readonly Part[]): Backup {
  return {
    ...backup,
    archives: backup.archives.map((archive) => ({ ...archive, parts: [...takeReplaced(archive.parts, replaced)] })),
    manifest: backup.manifest === null ? null : (takeReplaced([backup.manifest], replaced)[0] ?? null),
  };
}

/** The objects of a backup by its record's key: those that it consists of now. Fails with `damaged`. */
export async function partsOf(repository: Repository, key: string): Promise<readonly Part[]> {
  const backup = await repository.readJson(key, backupSchema);
  return backup === undefined ? [] : objectsOf(rewrapped(backup, await readReplaced(repository, folderOf(key))));
}

/**
 * The objects of a backup by its folder, in every generation that a record tells of: a name is used once, so whatever tells of
 * it is right, whether or not it counts now. A record that can't be read tells of nothing.
 */
export async function allPartsOf(repository: Repository, folder: string): Promise<readonly Part[]> {
  const records = await readRecords(repository, layout.rewraps(folder), rewrapSchema);
  const replaced = records.flatMap(({ value }) => value?.parts ?? []);
  try {
    const backup = await repository.readJson(`${folder}backup.json`, backupSchema);
    return [...(backup === undefined ? [] : objectsOf(backup)), ...replaced];
  } catch (error) {
    if (!isFailure(error, 'damaged')) throw error;
    return replaced;
  }
}

function objectsOf({ archives, manifest }: Backup): readonly Part[] {
  return [...archives.flatMap(({ parts }) => parts), ...(manifest === null ? [] : [manifest])];
}

function firstName({ name }: Part): string {
  return readGeneration(name)?.first ?? name;
}

function numberOf(part: Part | undefined): number {
  return part === undefined ? 0 : (readGeneration(part.name)?.number ?? 0);
}
