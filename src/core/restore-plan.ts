import * as z from 'zod';
import { instantSchema } from './backup.ts';
import { lsnSchema } from './lsn.ts';
import { restoreServiceSchema } from './restore-service.ts';
import { unitPlanSchema } from './unit-plan.ts';

/** Where a restore shall stop, as the operator asked for it. */
const restoreTargetSchema = z.discriminatedUnion('to', [
  z.object({ to: z.literal('end') }),
  z.object({ to: z.literal('backup') }),
  z.object({ to: z.literal('time'), time: instantSchema, exclusive: z.boolean() }),
  z.object({ to: z.literal('lsn'), lsn: lsnSchema, exclusive: z.boolean() }),
  z.object({ to: z.literal('name'), name: z.string() }),
  z.object({ to: z.literal('xid'), xid: z.number().int(), exclusive: z.boolean() }),
]);
export type RestoreTarget = z.infer<typeof restoreTargetSchema>;

/** A tablespace and where it goes. */
const tablespacePlanSchema = z.object({ oid: z.number().int(), was: z.string(), location: z.string() });

/**
 * What a restore will do, decided before anything is touched. Everything here is a decision and enters the id;
 * measurements (room, reachability, what runs) stay outside and are taken again when the plan is confirmed.
 */
export const restorePlanSchema = z.object({
  format: z.literal(1),
  repositoryId: z.string(),
  url: z.string(),
  /** The cluster that is overwritten: `15/main` on this machine. */
  cluster: z.string(),
  /** It owns the incarnation that is restored: ends as a new incarnation of the same owner. */
  inPlace: z.boolean(),
  systemIdentifier: z.string(),
  /** The incarnation whose line is restored, and the one that the backup lies in (the same, or an ancestor). */
  incarnation: z.number().int().positive(),
  backup: z.object({ id: z.string(), incarnation: z.number().int().positive() }),
  major: z.string(),
  segmentSize: z.number().int().positive(),
  target: restoreTargetSchema,
  /** The timeline that recovery follows; always a number. */
  timeline: z.number().int().positive(),
  /** What PostgreSQL is told: stop before the record at an LSN, at the backup's end, or at the end of what is served. */
  stop: z.discriminatedUnion('at', [
    z.object({ at: z.literal('record'), lsn: lsnSchema }),
    z.object({ at: z.literal('backup-end') }),
    z.object({ at: z.literal('end') }),
  ]),
  /**
   * Where the new timeline will leave: equals the LSN in its `.history` when the restore did what the plan says.
   * Null for a backup's own end, which PostgreSQL alone knows to the byte: then `after` is the least it must be.
   */
  switchLsn: lsnSchema.nullable(),
  after: lsnSchema,
  /** The time of the newest commit that comes back, as far as the WAL tells. */
  restoredTo: instantSchema.nullable(),
  directories: z.object({
    data: z.string(),
    /** Where `pg_wal` points when it is a link; null when it lies in the data directory. */
    wal: z.string().nullable(),
    tablespaces: z.array(tablespacePlanSchema),
  }),
  discardOld: z.boolean(),
  service: restoreServiceSchema,
  /** Settings for recovery and after it, by the table in `core/setting-precedence.ts`. */
  settings: z.object({
    /** Raised to what the WAL needs, name to value. */
    raised: z.record(z.string(), z.number()),
    /** Production's that win, written into the restored `postgresql.auto.conf`. */
    carried: z.record(z.string(), z.string()),
  }),
  credentials: z.enum(['spare', 'production']),
  /** The incarnation that is claimed before the first start (in place, or with take-over); null: the result is a copy. */
  claims: z.number().int().positive().nullable(),
  /** What happens to the files of each Landscape unit of this model; empty where there is none, or no Juju. */
  units: z.array(unitPlanSchema),
  /** What the operator should know, one sentence each. */
  notes: z.array(z.string()),
});
export type RestorePlan = z.infer<typeof restorePlanSchema>;

/** A plan as it is kept on the unit, under `plans/<id>.json` with mode 0600. */
export const keptPlanSchema = z.object({ id: z.string(), madeAt: instantSchema, plan: restorePlanSchema });
export type KeptPlan = z.infer<typeof keptPlanSchema>;
