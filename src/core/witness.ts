import * as z from 'zod';
import { instantSchema } from './backup.ts';
import { lsnSchema } from './lsn.ts';

/** "Whatever was committed up to this time lies before this LSN", and what was going on at that moment. */
const witnessSampleSchema = z.object({
  at: instantSchema,
  timeline: z.number().int().positive(),
  lsn: lsnSchema,
  /** The number that the next transaction to write something gets. */
  nextTransaction: z.string(),
  /** No transaction that has a number was running. */
  isQuiet: z.boolean(),
});
export type WitnessSample = z.infer<typeof witnessSampleSchema>;

/** What a unit remembers between two looks. */
export const witnessStateSchema = z.object({
  format: z.literal(1),
  incarnation: z.number().int().positive(),
  /** When the last sample was taken, by the host's clock. */
  sampledAt: instantSchema,
  /** The newest sample that was written into the repository. */
  written: witnessSampleSchema.nullable(),
  /** A sample whose WAL is not all stored yet, and whether its segment was ended for it. */
  pending: witnessSampleSchema.extend({ isEnded: z.boolean() }).nullable(),
});
export type WitnessState = z.infer<typeof witnessStateSchema>;

/**
 * Tells whether nothing was committed between two samples: no transaction was running at either, and none got a number
 * between. Then all that was true of the WAL at the first is true at the second.
 */
export function isStill(before: WitnessSample, after: WitnessSample): boolean {
  return (
    before.timeline === after.timeline &&
    before.isQuiet &&
    after.isQuiet &&
    before.nextTransaction === after.nextTransaction
  );
}
