import * as z from 'zod';

/** A plan's id in the name of a file. */
export const planIdPattern = /^[A-Za-z0-9-]{1,64}$/;

/** Which file set is meant: one of those that `list-files` shows. */
const fileSetNameSchema = z.object({
  model: z.string().min(1),
  application: z.string().min(1),
  unit: z.string().min(1),
  id: z.string().min(1),
});

/**
 * What a Landscape unit does in a restore: `<home>/landscape/restore/<plan id>.json`, 0600, written before the first stage.
 * It holds decisions only and no secret.
 */
export const landscapePlanSchema = z.object({
  format: z.literal(1),
  planId: z.string().regex(planIdPattern),
  /** Null: no files come back, the unit is only stopped, fenced and started. */
  fileSet: fileSetNameSchema.nullable(),
  credentials: z.enum(['spare', 'production']),
  /** How Landscape is installed on the unit that is restored. */
  profile: z.enum(['charmed', 'quickstart', 'manual']),
  /** Of the endpoints that the plan showed, as `landscape-facts` tells it; null: whatever they are. */
  endpointsDigest: z.string().nullable(),
});
export type LandscapePlan = z.infer<typeof landscapePlanSchema>;

/** A path that a restore touches, with what shall be there; the order is that in which they are placed. */
const wantedFileSchema = z.object({
  path: z.string(),
  kind: z.enum(['file', 'directory', 'link']),
  mode: z.number().int(),
  owner: z.string(),
  group: z.string(),
  target: z.string().nullable(),
  sha256: z.string().nullable(),
  /** Its staged contents. */
  staged: z.string().nullable(),
  rule: z.enum(['replace', 'service', 'environment', 'defaults', 'reference']),
});
export type WantedFile = z.infer<typeof wantedFileSchema>;

/** `staged.json`: written last, when every file of the set lies staged and is proven. */
export const stagedSchema = z.object({
  format: z.literal(1),
  planId: z.string(),
  fileSet: fileSetNameSchema,
  /** The version and the service.conf of the unit that the set was taken from. */
  version: z.string().nullable(),
  serviceConfiguration: z.string(),
  files: z.array(wantedFileSchema),
});
export type Staged = z.infer<typeof stagedSchema>;

/** `previous.json`: what lay under each path before, complete before anything is changed. In the order of placing. */
export const previousSchema = z.object({
  format: z.literal(1),
  planId: z.string(),
  files: z.array(
    z.object({
      path: z.string(),
      was: z.discriminatedUnion('kind', [
        z.object({ kind: z.literal('absent') }),
        z.object({
          kind: z.literal('file'),
          mode: z.number().int(),
          uid: z.number().int(),
          gid: z.number().int(),
          kept: z.string(),
        }),
        z.object({
          kind: z.literal('directory'),
          mode: z.number().int(),
          uid: z.number().int(),
          gid: z.number().int(),
        }),
        z.object({ kind: z.literal('link'), target: z.string(), uid: z.number().int(), gid: z.number().int() }),
      ]),
    }),
  ),
});
export type Previous = z.infer<typeof previousSchema>;
