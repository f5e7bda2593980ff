import { z } from 'zod';
import { instantSchema } from './backup.ts';

/** The stages of a restore over all units, in their order, and those of giving it up. Each may run twice. */
export const siteStages = {
  restore: ['check', 'quiesce', 'database', 'files', 'verify', 'resume'],
  abandon: ['abandon-database', 'abandon-files'],
} as const;
const stageSchema = z.enum([...siteStages.restore, ...siteStages.abandon]);
export type SiteStage = z.infer<typeof stageSchema>;

/** What a unit is for: which stages have work on it. */
const roleSchema = z.enum(['postgresql', 'landscape']);
export type Role = z.infer<typeof roleSchema>;

/** The stages that have work on a unit of a role; the others are finished there as soon as they may begin. */
const work: Readonly<Record<Role, readonly SiteStage[]>> = {
  postgresql: ['check', 'database', 'abandon-database'],
  landscape: ['check', 'quiesce', 'files', 'verify', 'resume', 'abandon-files'],
};

/** Tells whether a stage has anything to do on a unit with these roles. */
export function hasWork(stage: SiteStage, roles: readonly Role[]): boolean {
  return roles.some((role) => work[role].includes(stage));
}

/** What one Landscape unit is to do with files; made by the plan. Holds no secret: it travels in databags. */
const unitShareSchema = z.object({
  unit: z.string(),
  roles: z.array(roleSchema),
  /** The stage verbs' own input, as the plan gives it; null where the unit has no Landscape. */
  files: z.unknown().nullable(),
});

/**
 * A restore that was confirmed, as its planner wrote it into its own bag and the leader copied it into the application's.
 *
 * `run` tells one confirm from the next of the same plan, so that progress of an earlier run means nothing in this one.
 */
export const intentSchema = z.object({
  format: z.literal(1),
  /** Grows with every change; the leader copies what is newer. */
  sequence: z.number().int().positive(),
  run: z.number().int().positive(),
  kind: z.enum(['restore', 'abandon']),
  planId: z.string(),
  /** The unit that made the plan and does the stage `database`. */
  planner: z.string(),
  /** Grows when a person asks a failed restore to go on. */
  attempt: z.number().int().positive(),
  credentials: z.enum(['spare', 'production']),
  units: z.array(unitShareSchema),
  /** Units that were lost and are left out, by a person's word. */
  without: z.array(z.string()),
  /** The leader saw every participant finish: units that go away later mean nothing. */
  ended: z.boolean(),
  at: instantSchema,
});
export type Intent = z.infer<typeof intentSchema>;

/** What a unit says of itself during a restore, in its own bag. */
export const progressSchema = z.object({
  run: z.number().int().positive(),
  kind: z.enum(['restore', 'abandon']),
  attempt: z.number().int().positive(),
  stage: stageSchema,
  state: z.enum(['running', 'finished', 'failed']),
  failure: z.object({ message: z.string(), hint: z.string().nullable() }).nullable(),
});
export type Progress = z.infer<typeof progressSchema>;

/** What all units' bags say of one restore, as one unit sees them; others' may be old. */
export interface SiteView {
  readonly intent: Intent;
  readonly self: string;
  /** The units that are there, this one among them. */
  readonly present: ReadonlySet<string>;
  readonly progress: ReadonlyMap<string, Progress>;
}

/** What a unit does next in a restore. */
export type SiteStep =
  /** This unit has no part in it. */
  | { readonly is: 'not-mine' }
  /** The stage may begin (again). `hasWork` tells whether there is a job to it; else it is finished at once. */
  | { readonly is: 'begin'; readonly stage: SiteStage }
  /** This unit's own job is at it. */
  | { readonly is: 'running'; readonly stage: SiteStage }
  | { readonly is: 'waiting'; readonly stage: SiteStage; readonly for: readonly string[] }
  /** Nobody goes on until a person says how: `of` failed, or `lost` are gone. */
  | { readonly is: 'failed'; readonly stage: SiteStage; readonly of: string; readonly failure: Progress['failure'] }
  | { readonly is: 'lost'; readonly units: readonly string[]; readonly mayLeaveOut: boolean }
  | { readonly is: 'done' };

/**
 * Decides what a unit does next: nobody begins a stage before every participant has finished the one before.
 *
 * Others' bags may be old: they can only make a unit wait longer, for progress never goes back within a run. A unit lost
 * before anybody began `database` stops the restore; from there on it may be left out by a person's word.
 */
export function nextStep(view: SiteView): SiteStep {
  const { intent, self, present, progress } = view;
  const participants = intent.units.filter(({ unit }) => !intent.without.includes(unit));
  if (intent.ended) return { is: 'done' };
  if (!participants.some(({ unit }) => unit === self)) return { is: 'not-mine' };
  const stages: readonly SiteStage[] = siteStages[intent.kind];
  const finished = (unit: string) => finishedStages(stages, intent, progress.get(unit));
  const own = finished(self);
  const lost = participants.map(({ unit }) => unit).filter((unit) => !present.has(unit));
  const counted = intent.kind === 'abandon' ? participants.filter(({ unit }) => present.has(unit)) : participants;
  const mine = current(intent, progress.get(self));
  if (mine?.state === 'running') return { is: 'running', stage: mine.stage };
  // A lost unit can't give back what it no longer is: giving up never waits for it.
  if (lost.length > 0 && intent.kind === 'restore') {
    return { is: 'lost', units: lost, mayLeaveOut: hasBegun(view, stages, 'database') };
  }
  const failed = firstFailed(intent, counted, progress);
  if (failed !== undefined) return failed;
  const stage = stages[own];
  if (stage === undefined) return endOf(counted, finished, stages, stages.at(-1));
  const behind = counted.map(({ unit }) => unit).filter((unit) => finished(unit) < own);
  return behind.length > 0 ? { is: 'waiting', stage, for: behind } : { is: 'begin', stage };
}

function endOf(
  counted: readonly { readonly unit: string }[],
  finished: (unit: string) => number,
  stages: readonly SiteStage[],
  last: SiteStage | undefined,
): SiteStep {
  const behind = counted.map(({ unit }) => unit).filter((unit) => finished(unit) < stages.length);
  return behind.length === 0 || last === undefined ? { is: 'done' } : { is: 'waiting', stage: last, for: behind };
}

/** How many stages of this run a unit has finished, by what it says. */
function finishedStages(stages: readonly SiteStage[], intent: Intent, said: Progress | undefined): number {
  if (said === undefined || said.run !== intent.run || said.kind !== intent.kind) return 0;
  const at = stages.indexOf(said.stage);
  return said.state === 'finished' ? at + 1 : at;
}

/** What a unit says of this very attempt; a failure of an earlier attempt has been answered by the new one. */
function current(intent: Intent, said: Progress | undefined): Progress | undefined {
  if (said === undefined || said.run !== intent.run || said.kind !== intent.kind) return undefined;
  return said.state === 'failed' && said.attempt < intent.attempt ? undefined : said;
}

function firstFailed(
  intent: Intent,
  counted: readonly { readonly unit: string }[],
  progress: ReadonlyMap<string, Progress>,
): SiteStep | undefined {
  for (const { unit } of counted) {
    const said = current(intent, progress.get(unit));
    if (said?.state === 'failed') return { is: 'failed', stage: said.stage, of: unit, failure: said.failure };
  }
  return undefined;
}

/** Whether anybody has come to a stage: from then on what it does may have been done. */
function hasBegun({ intent, progress }: SiteView, stages: readonly SiteStage[], stage: SiteStage): boolean {
  return intent.units.some(({ unit }) => {
    const said = progress.get(unit);
    if (said === undefined || said.run !== intent.run || said.kind !== intent.kind) return false;
    return stages.indexOf(said.stage) >= stages.indexOf(stage);
  });
}

/** The intent that counts among the application's and what units wrote: the newest; of two with one number the leader's choice. */
export function newestIntent(copied: Intent | undefined, written: readonly Intent[]): Intent | undefined {
  return written.reduce<Intent | undefined>(
    (newest, each) => (newest === undefined || each.sequence > newest.sequence ? each : newest),
    copied,
  );
}

/** Tells whether every participant has finished every stage, as far as their bags tell; the leader then ends the intent. */
export function isFinished({ intent, present, progress }: Omit<SiteView, 'self'>): boolean {
  const stages: readonly SiteStage[] = siteStages[intent.kind];
  return intent.units
    .filter(({ unit }) => !intent.without.includes(unit))
    .filter(({ unit }) => intent.kind === 'restore' || present.has(unit))
    .every(({ unit }) => finishedStages(stages, intent, progress.get(unit)) === stages.length);
}
