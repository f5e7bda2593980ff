import * as z from 'zod';
import { archiveLagSchema } from './archive-lag.ts';
import { walLineSchema } from './wal-line.ts';
import { healthSchema, type Health } from './health.ts';
import type { HealthFacts, Trouble } from './health-facts.ts';

/** What could not be asked, or is in the way: for a status, with the next step. */
const problemSchema = z.object({ kind: z.string(), message: z.string(), hint: z.string().nullable() });
export type Problem = z.infer<typeof problemSchema>;

/** The cluster itself; null where nothing could be asked, which is never "no". */
const clusterSchema = z.object({
  label: z.string(),
  major: z.string(),
  running: z.boolean(),
  inRecovery: z.boolean().nullable(),
  /** Null where the data directory holds no cluster, as while a restore fills it. */
  systemIdentifier: z.string().nullable(),
});
export type ClusterFact = z.infer<typeof clusterSchema>;

const standingSchema = z.discriminatedUnion('is', [
  z.object({ is: z.literal('owner'), incarnation: z.number().int().positive() }),
  z.object({ is: z.literal('copy'), of: z.string(), isKept: z.boolean() }),
  z.object({ is: z.literal('none') }),
]);

/** What a unit's cluster is at one moment, as `facts` tells it. */
export const clusterFactsSchema = z.object({
  format: z.literal(1),
  /** How PostgreSQL came onto this machine. `none`: no cluster is this unit's matter. */
  kind: z.enum(['debian', 'snap', 'none']),
  cluster: clusterSchema.nullable(),
  /** The first thing that is in the way: the machine's, then the repository's, then the server's. */
  problem: problemSchema.nullable(),
  /** Which repository this unit writes to. */
  pin: z.object({ id: z.string(), url: z.string() }).nullable(),
  /** As whom this unit writes there, by its own state; the repository's word on it is `standing`. */
  owner: z
    .object({ ownerId: z.string(), systemIdentifier: z.string(), incarnation: z.number().int().positive() })
    .nullable(),
  /** Null where the repository could not be asked. */
  standing: standingSchema.nullable(),
  health: healthSchema.nullable(),
  /** Null where the server could not be asked. */
  lag: archiveLagSchema.nullable(),
  /** Null where there is no line, or it could not be asked. */
  wal: walLineSchema.nullable(),
  /** The restore of this cluster that has begun and has not ended. */
  restore: z.object({ planId: z.string(), stage: z.string() }).nullable(),
});
export type ClusterFacts = z.infer<typeof clusterFactsSchema>;

/** Facts about a unit of which nothing but a problem is known, or nothing is to be known. */
export function factsWithout(
  kind: ClusterFacts['kind'],
  cluster: ClusterFact | null,
  problem: Problem | null,
): ClusterFacts {
  const unknown = { pin: null, owner: null, standing: null, health: null, lag: null, wal: null, restore: null };
  return { format: 1, kind, cluster, problem, ...unknown };
}

/** A trouble in the shape that facts carry. */
export function toProblem({ kind, message, hint }: Trouble): Problem {
  return { kind, message, hint: hint ?? null };
}

/** The first problem among what a status is made of. */
export function firstProblem({ repository, server }: Pick<HealthFacts, 'repository' | 'server'>): Problem | null {
  if (repository !== 'open') return toProblem(repository);
  return server === undefined ? null : toProblem(server);
}

/** A status in its JSON shape. */
export function healthForJson({ level, text, next, details }: Health): z.infer<typeof healthSchema> {
  const told = details.map((each) => ({ ...each, next: each.next ?? null }));
  return { level, text, next: next ?? null, details: told };
}
