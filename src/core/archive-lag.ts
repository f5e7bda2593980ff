import * as z from 'zod';
import { instantSchema } from './backup.ts';
import type { Level } from './health-facts.ts';
import { formatBytes, formatSeconds } from './words.ts';

/** How archiving keeps up, as a status carries it; null where it is not known, or where there is none. */
export const archiveLagSchema = z.object({
  /** What PostgreSQL has marked as ready and nobody has taken yet. */
  files: z.number().int().nonnegative(),
  bytes: z.number().nonnegative(),
  /** The file that has waited longest; by the machine's clock, and never below 0 when that was set back. */
  oldest: z.object({ name: z.string(), seconds: z.number().nonnegative() }).nullable(),
  /** What is left on the file system on which they wait. */
  freeBytes: z.number().nonnegative().nullable(),
  /** What PostgreSQL last saw archived. */
  last: z.object({ name: z.string(), at: instantSchema }).nullable(),
  /** In segments a minute over the last minutes: what was archived, and what was written. */
  rate: z.object({ archived: z.number().nonnegative(), written: z.number().nonnegative() }).nullable(),
});
export type ArchiveLag = z.infer<typeof archiveLagSchema>;

/** How long a finished segment may wait before it is said, and before it is an alarm. */
const attentionSeconds = 5 * 60;
const alarmSeconds = 30 * 60;
/** So few files are no danger to any disk. */
const harmlessFiles = 4;
/** The share of what is free beside them that waiting files may reach before it is said; at as much as that it is an alarm. */
const attentionShare = 0.25;

/**
 * How bad the lag is, by the age of what waits and by the room that is left for more: while a clock that was set back hides
 * the age, the room still tells.
 */
export function lagLevel(lag: ArchiveLag, archiveTimeoutSeconds: number): Exclude<Level, 'blocked'> {
  const { files, bytes, oldest, freeBytes } = lag;
  const age = oldest?.seconds ?? 0;
  const isLate = age >= Math.max(attentionSeconds, 2 * archiveTimeoutSeconds);
  const share = files < harmlessFiles || freeBytes === null ? 0 : bytes / Math.max(freeBytes, 1);
  if ((isLate && age >= alarmSeconds) || share >= 1) return 'alarm';
  return isLate || share >= attentionShare ? 'attention' : 'ok';
}

/** The lag in words, for a reader who is told nothing else. */
export function lagText({ files, bytes, oldest, freeBytes }: ArchiveLag): string {
  if (files === 0) return 'no WAL waits to be archived';
  const what = files === 1 ? '1 WAL file' : `${files} WAL files`;
  const wait = `${what} (${formatBytes(bytes)}) ${files === 1 ? 'waits' : 'wait'} to be archived`;
  const age = oldest === null ? '' : `, the oldest (${oldest.name}) for ${formatSeconds(oldest.seconds)}`;
  return `${wait}${age}${freeBytes === null ? '' : `; ${formatBytes(freeBytes)} are free there`}`;
}

/** What was archived and how fast, in words; empty where nothing is known of it. */
export function progressText({ last, rate }: ArchiveLag): string {
  const known = [
    last === null ? [] : [`last archived ${last.name} at ${last.at.toISOString()}`],
    rate === null ? [] : [`${rounded(rate.archived)} segments a minute archived, ${rounded(rate.written)} written`],
  ];
  return known.flat().join('; ');
}

function rounded(perMinute: number): string {
  return perMinute >= 10 ? String(Math.round(perMinute)) : String(Math.round(perMinute * 10) / 10);
}
