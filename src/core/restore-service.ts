import * as z from 'zod';
import { instantSchema } from './backup.ts';
import { Failure } from './failure.ts';
import { segmentName, segmentNumber, type WalName } from './wal-name.ts';

const incarnationSchema = z.number().int().positive();
const timelineSchema = z.number().int().positive();

/**
 * The WAL that one plan needs, from its start to its end on each timeline, and every history of the lineage.
 *
 * What is listed here exists: `restore-wal` never calls it absent. What is not listed is absent for this recovery.
 */
export const restoreServiceSchema = z.object({
  repositoryId: z.string().min(1),
  /** Where that repository was when the plan was made: `file:///srv/backup`. */
  url: z.string().min(1),
  systemIdentifier: z.string().regex(/^\d+$/),
  segmentSize: z.number().int().positive(),
  /** Unbroken runs by segment number, both ends included, each with the incarnation that stores it. */
  segments: z.array(
    z.object({
      timeline: timelineSchema,
      first: z.number().int().nonnegative(),
      last: z.number().int().nonnegative(),
      incarnation: incarnationSchema,
      /** Of this one segment, the last of its row, only so many bytes are served, and zeros behind them. */
      part: z.number().int().positive().optional(),
    }),
  ),
  histories: z.array(z.object({ timeline: timelineSchema, incarnation: incarnationSchema })),
});
export type RestoreService = z.infer<typeof restoreServiceSchema>;

/** `<unit folder>/restore/serve.json`: the plan in service. While it lies there, `restore-wal` serves it and nothing else. */
export const servePlanSchema = z.object({
  format: z.literal(1),
  planId: z.string().min(1),
  /** How long one call of `restore-wal` tries again before it gives up; the restore job then starts recovery again. */
  patienceSeconds: z.number().nonnegative(),
  service: restoreServiceSchema,
});
export type ServePlan = z.infer<typeof servePlanSchema>;

/** `<unit folder>/restore/last-failure.json`: why `restore-wal` gave up; it removes the file when it succeeds again. */
export const restoreWalFailureSchema = z.object({
  format: z.literal(1),
  at: instantSchema,
  /** The WAL file that was asked for. */
  name: z.string(),
  /** The kind of the last failure: `unavailable` may pass, `damaged` and `missing` will not by themselves. */
  kind: z.string(),
  message: z.string(),
  hint: z.string().nullable(),
  attempts: z.number().int().positive(),
});
export type RestoreWalFailure = z.infer<typeof restoreWalFailureSchema>;

/**
 * Which incarnation serves a WAL file by a plan; `undefined` when the plan positively does without it.
 *
 * Fails with `internal` for a segment between two runs of its timeline and for a name that no cluster with this segment
 * size uses: such a plan has a hole, and "absent" would open the database with rows missing.
 */
export function servedFrom(
  service: RestoreService,
  name: WalName,
): { readonly incarnation: number; readonly part?: number | undefined } | undefined {
  if (name.kind === 'history') return service.histories.find(({ timeline }) => timeline === name.timeline);
  if (name.kind !== 'segment') return undefined;
  const number = segmentNumber(name, service.segmentSize);
  if (number === undefined) {
    throw new Failure(
      'internal',
      `the plan speaks of segments of ${service.segmentSize} bytes, ${name.name} is none of them`,
    );
  }
  const runs = service.segments.filter(({ timeline }) => timeline === name.timeline);
  const run = runs.find(({ first, last }) => number >= first && number <= last);
  if (run !== undefined) return run;
  if (runs.some(({ last }) => last < number) && runs.some(({ first }) => first > number)) {
    throw new Failure('internal', `the plan has a hole at ${name.name}`, {
      hint: 'Make a new plan: landscape-backup restore.',
    });
  }
  return undefined;
}

/** A segment that a plan lists. */
export interface PlannedSegment {
  readonly name: string;
  readonly number: number;
  readonly timeline: number;
  readonly incarnation: number;
  readonly part: number | undefined;
}

/**
 * The next segments of a plan in the order in which recovery asks: by number, of one number the newest timeline first. They
 * begin behind `after`, or with the plan's first.
 */
export function plannedAfter(
  { segments, segmentSize }: RestoreService,
  after: { readonly number: number; readonly timeline: number } | undefined,
  count: number,
): readonly PlannedSegment[] {
  const runs = segments.toSorted((a, b) => b.timeline - a.timeline);
  const [first, last] = [Math.min(...runs.map((run) => run.first)), Math.max(...runs.map((run) => run.last))];
  const found: PlannedSegment[] = [];
  for (let number = Math.max(first, after?.number ?? first); number <= last && found.length < count; number += 1) {
    for (const { timeline, incarnation, part, ...run } of runs) {
      if (number < run.first || number > run.last) continue;
      if (after?.number === number && timeline >= after.timeline) continue;
      found.push({ name: segmentName(timeline, number, segmentSize), number, timeline, incarnation, part });
    }
  }
  return found.slice(0, count);
}
