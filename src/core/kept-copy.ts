import * as z from 'zod';
import { instantSchema } from './backup.ts';

/** `copy.json`: a person said that this cluster shall stay a copy. It holds for this cluster only. */
export const keptCopySchema = z.object({ format: z.literal(1), systemIdentifier: z.string(), at: instantSchema });
