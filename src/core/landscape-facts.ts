import * as z from 'zod';
import { instantSchema } from './backup.ts';
import { levels } from './health-facts.ts';
import { publishedLandscapeSchema } from './site.ts';

const troubleSchema = z.object({ message: z.string(), hint: z.string().nullable() });

/** How it is with a Landscape unit's files. */
const filesStatusSchema = z.object({
  fenced: z.boolean(),
  /** When the files were last found to be what is kept; null when nothing is kept yet. */
  keptAt: instantSchema.nullable(),
  count: z.number().int(),
  /** Required paths that were not there. */
  missing: z.array(z.string()),
  failure: troubleSchema.nullable(),
  /** What is to be said of the second destination: that it is away, or lacks something of this unit's. */
  second: z.array(z.object({ level: z.enum(levels), text: z.string(), next: z.string().nullable() })),
});
export type FilesStatus = z.infer<typeof filesStatusSchema>;

/** What a Landscape unit says of itself: steady facts for the others, and how it is with its files. */
export const landscapeUnitFactsSchema = z.object({
  published: publishedLandscapeSchema.nullable(),
  files: filesStatusSchema,
});
export type LandscapeUnitFacts = z.infer<typeof landscapeUnitFactsSchema>;
