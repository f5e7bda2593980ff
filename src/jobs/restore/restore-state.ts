import { join } from 'node:path';
import * as z from 'zod';
import { instantSchema } from '../../core/backup.ts';
import { Failure } from '../../core/failure.ts';
import { lsnSchema } from '../../core/lsn.ts';
import { keptPlanSchema, type KeptPlan } from '../../core/restore-plan.ts';
import { readJson, writeJson } from '../../system/files.ts';
import { makePrivateFolder, ownerStateSchema, type UnitFolder } from '../../system/home.ts';

/** The stages of a restore in their order. Each is declared before it begins, and may run twice. */
const restoreStages = [
  'begin',
  'fence',
  'claim',
  'aside',
  'unpack',
  'recover',
  'finish',
  'done',
  'abandon-clear',
  'abandon-back',
  'abandoned',
] as const;
export type RestoreStage = (typeof restoreStages)[number];

/** `<unit folder>/restore/state.json`: how far the restore on this unit is, and what must be put back if it is abandoned. */
const restoreStateSchema = z.object({
  format: z.literal(1),
  planId: z.string(),
  startedAt: instantSchema,
  /** What is being done, or has been when nobody does it. */
  stage: z.enum(restoreStages),
  found: z.object({
    startConf: z.string().nullable(),
    running: z.boolean(),
    owner: ownerStateSchema.nullable(),
    /** Our file in `conf.d`, where a copy must not archive by it. */
    archivingFile: z.string().nullable(),
    /** The `postgresql.auto.conf` that was here. */
    autoConfiguration: z.string(),
  }),
  /** What a person must be told and cannot see elsewhere, one sentence each. */
  notes: z.array(z.string()),
  /** Old contents lie aside: they can be put back or removed. */
  oldKept: z.boolean(),
  /** Where recovery ended; null until it has. */
  reached: z
    .object({
      timeline: z.number().int().positive(),
      switchLsn: lsnSchema,
      prepared: z.number().int(),
      rolesCreated: z.array(z.string()),
    })
    .nullable(),
  endedAt: instantSchema.nullable(),
});
export type RestoreState = z.infer<typeof restoreStateSchema>;

function stateFile(unit: UnitFolder): string {
  return join(unit.restore, 'state.json');
}

/** Each plan has a file of its own: the state that names it and the file change in two steps. */
function planFile(unit: UnitFolder, id: string): string {
  return join(unit.restore, `plan-${id}.json`);
}

/** How far the last restore on this unit is; `undefined` when there was none. */
export async function readRestoreState(unit: UnitFolder): Promise<RestoreState | undefined> {
  return await readJson(stateFile(unit), restoreStateSchema);
}

/** Makes a state durable: only then what it declares may begin. */
export async function writeRestoreState(unit: UnitFolder, state: RestoreState): Promise<RestoreState> {
  await writeJson(stateFile(unit), restoreStateSchema, state);
  return state;
}

/** Keeps the plan beside the state: the one among printed plans may be forgotten while this restore waits. */
export async function writeRestorePlan(unit: UnitFolder, kept: KeptPlan): Promise<void> {
  await makePrivateFolder(unit.restore);
  await writeJson(planFile(unit, kept.id), keptPlanSchema, kept);
}

/** The restore on this unit with its plan. Fails with `refused` when there is none. */
export async function readRestore(
  unit: UnitFolder,
): Promise<{ readonly state: RestoreState; readonly kept: KeptPlan }> {
  const state = await readRestoreState(unit);
  if (state === undefined) {
    throw new Failure('refused', 'there is no restore on this unit', {
      hint: 'landscape-backup restore prints a plan for one.',
    });
  }
  const kept = await readJson(planFile(unit, state.planId), keptPlanSchema);
  if (kept !== undefined && kept.id === state.planId) return { state, kept };
  throw new Failure(
    'damaged',
    `${planFile(unit, state.planId)} is not the plan ${state.planId} of the restore on this unit`,
  );
}

/** Tells whether a restore has begun and neither finished nor been given up. */
export function isUnderWay({ stage }: RestoreState): boolean {
  return stage !== 'done' && stage !== 'abandoned';
}

/** Tells whether a restore has come to a stage or beyond it. */
export function hasReached(stage: RestoreStage, wanted: RestoreStage): boolean {
  return restoreStages.indexOf(stage) >= restoreStages.indexOf(wanted);
}
