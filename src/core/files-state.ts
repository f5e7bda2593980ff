import * as z from 'zod';
import { instantSchema } from './backup.ts';
import { lastScheduled } from './schedule.ts';
import type { Schedule } from './settings.ts';

/** `<home>/landscape/files.json`: how it is with a unit's file sets. Written after each try to keep its files. */
export const filesStateSchema = z.object({
  format: z.literal(1),
  /** The set that holds what was there when it was last looked; null while there is none. */
  kept: z
    .object({
      id: z.string(),
      takenAt: instantSchema,
      /** When its files were last found to be what is there. */
      checkedAt: instantSchema,
      count: z.number().int(),
      missing: z.array(z.string()),
    })
    .nullable(),
  /** The tries that have failed since. */
  failed: z
    .object({
      times: z.number().int().positive(),
      at: instantSchema,
      message: z.string(),
      hint: z.string().nullable(),
    })
    .nullable(),
});
export type FilesState = z.infer<typeof filesStateSchema>;

const firstRetryMs = 5 * 60 * 1000;
const longestRetryMs = 6 * 60 * 60 * 1000;

/** What decides whether a unit's files are due. */
export interface FilesDueFacts {
  readonly state: FilesState | undefined;
  readonly schedule: Schedule | undefined;
  readonly now: Date;
  readonly hostZone: string;
}

/**
 * Says why a unit's files are to be looked at now; `undefined` when they are not. The backup schedule is theirs too; a time that
 * was missed is made up for, and what failed is tried again after 5 minutes, then 10, 20, … up to 6 hours.
 */
export function whyFilesAreDue({ state, schedule, now, hostZone }: FilesDueFacts): string | undefined {
  if (schedule === undefined) return undefined;
  const wantedAt = lastScheduled(schedule, now, hostZone);
  if (wantedAt === undefined) return undefined;
  const checkedAt = state?.kept?.checkedAt;
  if (checkedAt !== undefined && checkedAt >= wantedAt && checkedAt <= now) return undefined;
  const failed = state?.failed ?? null;
  const why = `the schedule wanted it at ${wantedAt.toISOString()}`;
  if (failed === null) return why;
  const waitMs = Math.min(firstRetryMs * 2 ** (failed.times - 1), longestRetryMs);
  const sinceMs = now.getTime() - failed.at.getTime();
  // A time in the future was written by a clock that was wrong: it delays nothing.
  return sinceMs < 0 || sinceMs >= waitMs ? `${why}; ${failed.times} tries have failed` : undefined;
}
