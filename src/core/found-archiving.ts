import * as z from 'zod';
import { instantSchema } from './backup.ts';

/** `found.json`: how the cluster was archived before us, so that it can be put back, and what we had to force. */
export const foundArchivingSchema = z.object({
  format: z.literal(1),
  at: instantSchema,
  /** The values that were in force, and where they came from: for people. */
  values: z.record(z.string(), z.object({ value: z.string(), source: z.string(), file: z.string().nullable() })),
  /** Names that we set with `ALTER SYSTEM`: the value that `postgresql.auto.conf` had, and every value of ours. */
  altered: z.record(z.string(), z.object({ before: z.string().nullable(), ours: z.array(z.string()) })),
  /** Why WAL from before is missing here until a new backup (somebody else archived, or nobody); null when it is not. */
  lost: z.string().nullable(),
});
export type FoundArchiving = z.infer<typeof foundArchivingSchema>;
