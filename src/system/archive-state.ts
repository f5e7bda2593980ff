import { join } from 'node:path';
import * as z from 'zod';
import { instantSchema } from '../core/backup.ts';
import { isFailure, toFailure } from '../core/failure.ts';
import { readJson, writeJson } from './files.ts';
import type { UnitFolder } from './home.ts';

/**
 * `archive-state.json` in the unit's folder: whether archiving works, as `archive-wal` or the archiver last found it.
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
    /** When PostgreSQL's log last got this message. */
    loggedAt: instantSchema.optional(),
  }),
]);
export type ArchiveState = z.infer<typeof archiveStateSchema>;

/** PostgreSQL asks several times a minute; while nothing changes its log gets the reason so often. */
const logEveryMs = 10 * 60_000;

/** How archiving goes; `undefined` when it has never failed. */
export async function readArchiveState(unit: UnitFolder): Promise<ArchiveState | undefined> {
  return await readJson(pathOf(unit), archiveStateSchema);
}

/** Notes that a file could not be archived, and why; `since` stays that of the first failure. */
export async function noteArchiveFailure(unit: UnitFolder, name: string, error: unknown, now: Date): Promise<void> {
  await note(unit, name, error, now, (known) => known?.loggedAt);
}

/** The same for who writes into PostgreSQL's log; says whether that lacks it: nothing, or something else, was said lately. */
export async function noteLoggedFailure(unit: UnitFolder, name: string, error: unknown, now: Date): Promise<boolean> {
  let isLacking = true;
  await note(unit, name, error, now, (known) => {
    const loggedMs = known?.loggedAt === undefined ? Infinity : now.getTime() - known.loggedAt.getTime();
    // Before 0: the clock was set back, and how long ago it was is not known.
    isLacking = loggedMs < 0 || loggedMs >= logEveryMs;
    return isLacking ? now : known?.loggedAt;
  });
  return isLacking;
}

type Failing = Extract<ArchiveState, { state: 'failing' }>;

/** `loggedAt` gets what is known when that has the same message, and says when the log got this one. */
async function note(
  unit: UnitFolder,
  name: string,
  error: unknown,
  now: Date,
  logged: (known: Failing | undefined) => Date | undefined,
): Promise<void> {
  const { kind, message, hint = null } = toFailure(error);
  const known = await readKnown(unit);
  const same = known?.message === message ? known : undefined;
  const loggedAt = logged(same);
  if (same?.name === name && same.loggedAt === loggedAt) return;
  const failing: Failing = { format: 1, state: 'failing', since: known?.since ?? now, name, kind, message, hint };
  await writeJson(pathOf(unit), archiveStateSchema, loggedAt === undefined ? failing : { ...failing, loggedAt });
}

/** Notes that archiving works; writes nothing unless it had failed. */
export async function noteArchiveSuccess(unit: UnitFolder, now: Date): Promise<void> {
  if ((await readKnown(unit)) === undefined) return;
  await writeJson(pathOf(unit), archiveStateSchema, { format: 1, state: 'ok', since: now });
}

/** The failure that is known; a state that can't be understood says nothing, and is written anew. */
async function readKnown(unit: UnitFolder): Promise<Failing | undefined> {
  try {
    const known = await readArchiveState(unit);
    return known?.state === 'failing' ? known : undefined;
  } catch (error) {
    if (isFailure(error, 'damaged')) return undefined;
    throw error;
  }
}

function pathOf(unit: UnitFolder): string {
  return join(unit.path, 'archive-state.json');
}
