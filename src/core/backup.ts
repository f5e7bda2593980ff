import * as z from 'zod';
import { lsnSchema } from './lsn.ts';

/** An instant as JSON carries it: RFC 3339 in UTC outside, a `Date` inside. */
export const instantSchema = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

/** One stored object of a backup: its name below the backup's folder, the length and SHA-256 of its stored bytes. */
export const partSchema = z.object({
  name: z.string(),
  sizeBytes: z.number().int().nonnegative(),
  sha256: sha256Schema,
});
export type Part = z.infer<typeof partSchema>;

/** One tar of a backup: the data directory itself (`oid` null) or a tablespace, cut into parts that concatenate to it. */
const archiveSchema = z.object({
  oid: z.number().int().nullable(),
  location: z.string().nullable(),
  parts: z.array(partSchema),
});
export type BackupArchive = z.infer<typeof archiveSchema>;

/** A setting of the cluster as `pg_settings` told it when the backup was taken. */
export const settingSchema = z.object({
  name: z.string(),
  setting: z.string(),
  unit: z.string().nullable(),
  source: z.string(),
});
export type ClusterSetting = z.infer<typeof settingSchema>;

/** `backup.json`: all that is known of a complete base backup. It is written last; a backup without it is none. */
export const backupSchema = z.object({
  format: z.literal(1),
  id: z.string(),
  label: z.string(),
  /** `<version>/<cluster>` on the machine that it was taken on, for people. */
  cluster: z.string(),
  systemIdentifier: z.string().regex(/^\d+$/),
  incarnation: z.number().int().positive(),
  /** `server_version_num`. */
  versionNumber: z.number().int(),
  /** `15` or `9.6`. */
  major: z.string(),
  timeline: z.number().int().positive(),
  segmentSize: z.number().int().positive(),
  startLsn: lsnSchema,
  stopLsn: lsnSchema,
  /** PostgreSQL's clock just before the backup began and just after its stop LSN was known. */
  startedAt: instantSchema,
  stoppedAt: instantSchema,
  /** The machine's own clock at the same stop, to tell when clocks disagree. */
  stoppedAtHost: instantSchema,
  /** The backup carries its own WAL and restores to its own end only. */
  withWal: z.boolean(),
  dataDirectory: z.string(),
  archives: z.array(archiveSchema),
  /** PostgreSQL's `backup_manifest` (13 and later). */
  manifest: partSchema.nullable(),
  /** What the cluster's files took before compression, as PostgreSQL estimated it. */
  plainBytes: z.number().int().nonnegative(),
  storedBytes: z.number().int().nonnegative(),
  compression: z.object({ where: z.enum(['server', 'client']), level: z.number().int() }),
  /** PostgreSQL found pages whose checksums are wrong: the backup is whole, the cluster it came from is not. */
  badPages: z.boolean(),
  settings: z.array(settingSchema),
  /** The file set with the cluster's configuration that was taken with it. */
  fileSet: z.string().nullable(),
  /** Seconds per phase, for people and for estimates. */
  timings: z.record(z.string(), z.number()),
});
export type Backup = z.infer<typeof backupSchema>;

/** A backup's id: sorts by the time of its start and is unique by its random end: `20261124T020304Z-3f9a1c`. */
export function backupId(startedAt: Date, random: string): string {
  return `${startedAt
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '')}-${random}`;
}

/** What may be a backup's id: it becomes a folder's name. */
export const backupIdPattern = /^\d{8}T\d{6}Z-[0-9a-f]{6}$/;
