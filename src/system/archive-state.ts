import { join } from 'node:path';
import { z } from 'zod';
import { instantSchema } from '../core/backup.ts';
import { toFailure } from '../core/failure.ts';
import { isFailure } from '../core/failure.ts';
import { readJson, writeJson } from './files.ts';
import type { UnitFolder } from './home.ts';

/**
 * `archive-state.json` in the unit's folder: whether archiving works, as `archive-wal` last found it.
 *
 * It is written when that changes and not for every segment; without the file nothing has failed yet.
 */
const archiveStateSchema = z.discriminatedUnion('state', [
  z.object({ format: z.literal(1), state: z.literal('ok'), since: instantSchema }),
  z.object({
    format: z.literal(1),
    state: z.literal('failing'),
    since: instantSchema,
    /** The file that waits first. */
    name: z.string(),
    kind: z.string(),
    message: z.string(),
    hint: z.string().nullable(),
  }),
]);
export type ArchiveState = z.infer<typeof archiveStateSchema>;

/** How archiving goes; `undefined` when `archive-wal` has never failed. */
export async function readArchiveState(unit: UnitFolder): Promise<ArchiveState | undefined> {
  return await readJson(pathOf(unit), archiveStateSchema);
}

/** Notes that a file could not be archived, and why; `since` stays that of the first failure. */
export async function noteArchiveFailure(unit: UnitFolder, name: string, error: unknown, now: Date): Promise<void> {
  const { kind, message, hint = null } = toFailure(error);
  const known = await readKnown(unit);
  if (known?.state === 'failing' && known.name === name && known.message === message) return;
  const since = known?.state === 'failing' ? known.since : now;
  await writeJson(pathOf(unit), archiveStateSchema, { format: 1, state: 'failing', since, name, kind, message, hint });
}

/** Notes that archiving works; writes nothing unless it had failed. */
export async function noteArchiveSuccess(unit: UnitFolder, now: Date): Promise<void> {
  if ((await readKnown(unit))?.state !== 'failing') return;
  await writeJson(pathOf(unit), archiveStateSchema, { format: 1, state: 'ok', since: now });
}

/** A state that can't be understood says nothing, and is written anew. */
async function readKnown(unit: UnitFolder): Promise<ArchiveState | undefined> {
  try {
    return await readArchiveState(unit);
  } catch (error) {
    if (isFailure(error, 'damaged')) return undefined;
    throw error;
  }
}

function pathOf(unit: UnitFolder): string {
  return join(unit.path, 'archive-state.json');
}
