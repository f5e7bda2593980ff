import { join } from 'node:path';
import { toFailure } from '../core/failure.ts';
import { restoreWalFailureSchema, type RestoreWalFailure } from '../core/restore-service.ts';
import { readJson, removeFile, writeJson } from '../system/files.ts';
import type { UnitFolder } from '../system/home.ts';

/** Why `restore-wal` last gave up; `undefined` when it has not, or has served a file since. */
export async function readLastFailure(unit: UnitFolder): Promise<RestoreWalFailure | undefined> {
  return await readJson(pathOf(unit), restoreWalFailureSchema);
}

/** Writes down why `restore-wal` gives up, for the restore that waits for PostgreSQL. */
export async function noteLastFailure(
  unit: UnitFolder,
  name: string,
  error: unknown,
  attempts: number,
  now: Date,
): Promise<void> {
  const { kind, message, hint = null } = toFailure(error);
  const failure: RestoreWalFailure = { format: 1, at: now, name, kind, message, hint, attempts };
  await writeJson(pathOf(unit), restoreWalFailureSchema, failure);
}

/** Forgets it; there may be nothing to forget. */
export async function forgetLastFailure(unit: UnitFolder): Promise<void> {
  await removeFile(pathOf(unit));
}

function pathOf(unit: UnitFolder): string {
  return join(unit.restore, 'last-failure.json');
}
