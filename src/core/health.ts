import * as z from 'zod';
import { levels, type Finding, type HealthFacts } from './health-facts.ts';
import { findings } from './health-findings.ts';

/** The JSON shape of a status. */
export const healthSchema = z.object({
  level: z.enum(levels),
  text: z.string(),
  next: z.string().nullable(),
  details: z.array(z.object({ level: z.enum(levels), text: z.string(), next: z.string().nullable() })),
});

/** One status, the worst that is to be said, and all the rest behind it. */
export interface Health extends Finding {
  readonly details: readonly Finding[];
}

/** Makes one status of the facts: the worst finding, the others in the order of their weight. */
export function assess(facts: HealthFacts): Health {
  const all = findings(facts).toSorted((a, b) => levels.indexOf(b.level) - levels.indexOf(a.level));
  const [worst, ...details] = all;
  return worst === undefined
    ? { level: 'ok', text: `${facts.label}: nothing is known`, next: undefined, details }
    : { ...worst, details };
}
