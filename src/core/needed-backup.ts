import * as z from 'zod';
import { instantSchema, type Backup } from './backup.ts';
import { lsnSchema } from './lsn.ts';

/**
 * A fact that makes a new base backup due at once, kept in the unit's folder until such a backup is complete.
 *
 * - `hole`: segments that will never come lie in the line, so nothing after them can be reached from an older backup
 * - `foreign-archiver`: WAL went to somebody else, or nowhere, before our settings took effect
 * - `take-over`: an incarnation was claimed, and its window begins with its first backup
 */
export const neededBackupSchema = z.object({
  format: z.literal(1),
  reason: z.enum(['hole', 'foreign-archiver', 'take-over']),
  /** When it was found, by the machine's clock: for people, never for order. */
  since: instantSchema,
  /** What happened, a sentence for people. */
  why: z.string(),
  /** The incarnation that the backup must belong to. */
  incarnation: z.number().int().positive(),
  /** The backup must start at or after this LSN. */
  after: lsnSchema,
});
export type NeededBackup = z.infer<typeof neededBackupSchema>;

/** The reasons, in the order in which they are told. */
export const neededReasons = neededBackupSchema.shape.reason.options;

/** Tells whether a complete backup answers a need: by incarnation and LSN, whatever the clocks say. */
function answers(backup: Pick<Backup, 'incarnation' | 'startLsn'>, needed: NeededBackup): boolean {
  return (
    backup.incarnation > needed.incarnation ||
    (backup.incarnation === needed.incarnation && backup.startLsn >= needed.after)
  );
}

/** The needs that none of these complete backups answers. */
export function stillNeeded(
  needed: readonly NeededBackup[],
  backups: readonly Pick<Backup, 'incarnation' | 'startLsn'>[],
): readonly NeededBackup[] {
  return needed.filter((need) => !backups.some((backup) => answers(backup, need)));
}

/** Of two facts of one reason the one that the other's backup answers too. */
export function stricter(a: NeededBackup, b: NeededBackup): NeededBackup {
  return answers({ incarnation: a.incarnation, startLsn: a.after }, b) ? a : b;
}
