import * as z from 'zod';
import { instantSchema, partSchema } from './backup.ts';
import { lsnSchema } from './lsn.ts';

/**
 * Protects what a running job needs from prune. Appended as numbered records; the newest by number counts.
 *
 * It protects until `ended`, or until 24 hours after the newest heartbeat `at`.
 */
export const leaseSchema = z.object({
  format: z.literal(1),
  job: z.string(),
  kind: z.enum(['backup', 'restore', 'verify', 'drill', 'rewrap']),
  holder: z.string(),
  at: instantSchema,
  ended: z.boolean(),
  /** Backups that must stay. */
  backups: z.array(z.string()),
  /** WAL that must stay: on this timeline from this LSN on, and whatever descends from it. */
  from: z.object({ timeline: z.number().int(), lsn: lsnSchema }).nullable(),
});
export type Lease = z.infer<typeof leaseSchema>;

/** What has been said of a complete backup since; the newest record of each pair (pinned/unpinned) counts, by number. */
export const markSchema = z.object({
  format: z.literal(1),
  mark: z.enum(['deleting', 'damaged', 'pinned', 'unpinned']),
  at: instantSchema,
  why: z.string(),
});
export type Mark = z.infer<typeof markSchema>;

/** "At this time everything up to this LSN was stored": how the proven end gets a time while nothing is written. */
export const witnessSchema = z.object({
  format: z.literal(1),
  at: instantSchema,
  timeline: z.number().int().positive(),
  lsn: lsnSchema,
});
export type Witness = z.infer<typeof witnessSchema>;

/** A named restore point and where it lies. */
export const restorePointSchema = z.object({
  format: z.literal(1),
  name: z.string(),
  timeline: z.number().int().positive(),
  lsn: lsnSchema,
  at: instantSchema,
});
export type RestorePoint = z.infer<typeof restorePointSchema>;

/** Segments that will never come: recorded when they were found missing, with the reason as far as it is known. */
export const holeSchema = z.object({
  format: z.literal(1),
  timeline: z.number().int().positive(),
  firstSegment: z.number().int().nonnegative(),
  lastSegment: z.number().int().nonnegative(),
  at: instantSchema,
  why: z.string(),
});
export type Hole = z.infer<typeof holeSchema>;

/**
 * What took the place of objects that were encrypted to other recipients. In a backup's folder `parts` are all those whose
 * names are others now, and of each the highest generation in any record counts; in an incarnation's it says that a sweep of
 * what was replaced begins, and `parts` is empty.
 */
export const rewrapSchema = z.object({
  format: z.literal(1),
  at: instantSchema,
  /** Fingerprints of the recipients. */
  recipients: z.array(z.string()),
  parts: z.array(partSchema),
});

/** What a Landscape unit was when its files were kept. No secret. */
const landscapeFactsSchema = z.object({
  profile: z.enum(['charmed', 'quickstart', 'manual']),
  /** The version of the deb landscape-server; null when dpkg doesn't know it. */
  version: z.string().nullable(),
  /** Names of databases, as its service.conf tells them. */
  databases: z.array(z.string()),
  /** What people call it: the model's name and the unit beside it. Absent without Juju. */
  called: z.object({ model: z.string(), principal: z.string().nullable() }).optional(),
  /** Where its service.conf lies. */
  serviceConfiguration: z.string(),
});
export type LandscapeFacts = z.infer<typeof landscapeFactsSchema>;

/** `files.json`: one file set, written last. */
export const fileSetSchema = z.object({
  format: z.literal(1),
  id: z.string(),
  model: z.string(),
  application: z.string(),
  unit: z.string(),
  takenAt: instantSchema,
  /** SHA-256 over paths, modes, owners and contents: equal means nothing changed. */
  digest: z.string(),
  files: z.array(
    z.object({
      path: z.string(),
      kind: z.enum(['file', 'directory', 'link']),
      sizeBytes: z.number().int(),
      mode: z.number().int(),
      owner: z.string(),
      group: z.string(),
      /** Where a link points. */
      target: z.string().nullable(),
    }),
  ),
  /** Paths that were asked for and are not there, or could not be read. */
  missing: z.array(z.string()),
  /** Only in the file set of a Landscape unit: what it was. */
  landscape: landscapeFactsSchema.optional(),
});
export type FileSet = z.infer<typeof fileSetSchema>;

/** `repository.json`: what makes a directory a repository, and which. Written once, by `init`. */
export const repositorySchema = z.object({
  format: z.literal(1),
  product: z.literal('landscape-backup'),
  id: z.string().regex(/^[0-9a-f]{32}$/),
  createdAt: instantSchema,
  /** `age`: what is secret is never stored otherwise. Chosen when the repository is made. */
  encryption: z.enum(['none', 'age']),
});
export type RepositoryRecord = z.infer<typeof repositorySchema>;
