import { join } from 'node:path';
import { neededBackupSchema, neededReasons, stricter, type NeededBackup } from '../core/needed-backup.ts';
import { readJson, removeFile, writeJson } from './files.ts';
import type { UnitFolder } from './home.ts';

function fileOf(unit: UnitFolder, reason: NeededBackup['reason']): string {
  return join(unit.path, `needs-backup.${reason}.json`);
}

/** Keeps a fact that makes a backup due, durably. One file per reason: two that write at once can't lose another's. */
export async function recordNeededBackup(unit: UnitFolder, needed: NeededBackup): Promise<void> {
  const path = fileOf(unit, needed.reason);
  const known = await readJson(path, neededBackupSchema);
  if (known === undefined || stricter(known, needed) !== known) await writeJson(path, neededBackupSchema, needed);
}

/** The facts that stand on this unit. Those that a complete backup has answered are dropped by `dropNeededBackup`. */
export async function readNeededBackups(unit: UnitFolder): Promise<readonly NeededBackup[]> {
  const found: NeededBackup[] = [];
  for (const reason of neededReasons) {
    const needed = await readJson(fileOf(unit, reason), neededBackupSchema);
    if (needed !== undefined) found.push(needed);
  }
  return found;
}

/** Forgets a fact that has been answered. */
export async function dropNeededBackup(unit: UnitFolder, needed: NeededBackup): Promise<void> {
  await removeFile(fileOf(unit, needed.reason));
}
