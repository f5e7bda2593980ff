import * as z from 'zod';
import type { ArchiveLag } from './archive-lag.ts';
import { instantSchema } from './backup.ts';
import { lsnSchema } from './lsn.ts';

/** What PostgreSQL counted at one moment; two of them are a rate. */
export const archiveSampleSchema = z.object({
  at: instantSchema,
  archived: z.number().int().nonnegative(),
  written: lsnSchema,
});
export type ArchiveSample = z.infer<typeof archiveSampleSchema>;

/** Over how long a rate is told, and how far apart samples are kept at least. */
const windowMs = 15 * 60_000;
const apartMs = 50_000;

/**
 * The samples that can be measured against: neither too old, nor from a clock that was ahead, nor from before the server's
 * counters began anew or its WAL was set back.
 */
function usable(samples: readonly ArchiveSample[], now: ArchiveSample): readonly ArchiveSample[] {
  return samples.filter(
    ({ at, archived, written }) =>
      at < now.at && now.at.getTime() - at.getTime() <= windowMs && archived <= now.archived && written <= now.written,
  );
}

/** Takes a new sample in and forgets what can't be measured against any more; the same samples when it comes too soon. */
export function addSample(samples: readonly ArchiveSample[], now: ArchiveSample): readonly ArchiveSample[] {
  const kept = usable(samples, now);
  const newest = kept.at(-1);
  const isSoon = newest !== undefined && now.at.getTime() - newest.at.getTime() < apartMs;
  return isSoon ? kept : [...kept, now];
}

/** How fast it went from the oldest usable sample to now; null as long as there is none from before. */
export function rateSince(
  samples: readonly ArchiveSample[],
  now: ArchiveSample,
  segmentSize: number,
): ArchiveLag['rate'] {
  const [oldest] = usable(samples, now);
  if (oldest === undefined) return null;
  const minutes = (now.at.getTime() - oldest.at.getTime()) / 60_000;
  const written = Number(now.written - oldest.written) / segmentSize;
  return { archived: (now.archived - oldest.archived) / minutes, written: written / minutes };
}
