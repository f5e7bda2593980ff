import * as z from 'zod';
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
  /** Grows with every word of a person; the leader copies what is newer. */
  sequence: z.number().int().positive(),
  run: z.number().int().positive(),
  kind: z.enum(['restore', 'abandon']),
  planId: z.string(),
  /** The unit that made the plan and does the stage `database`. */
  planner: z.string(),
  /** Grows when a person asks a failed restore to go on. */
  attempt: z.number().int().positive(),
  credentials: z.enum(['spare', 'production']),
  /** Where every unit finds what opens an encrypted repository (`GivenIdentity`); never the identity itself. */
  identity: z.string().nullable().default(null),
  units: z.array(unitShareSchema),
  /** Units that were lost and are left out, by a person's word. */
  without: z.array(z.string()),
  /** The leader saw every participant finish: units that go away later mean nothing. No word of a person, so no new number. */
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
 * before anybody began `database` stops the restore; from there on it may be left out by a person's word. Whoever is not seen
 * may only not have been met yet, so nobody is left out but by that word; and one that is left out while a restore is given up
 * gives back what it has all the same.
 */
export function nextStep(view: SiteView): SiteStep {
  const { intent, self, present, progress } = view;
  const isRestore = intent.kind === 'restore';
  if (isRestore && intent.ended) return { is: 'done' };
  // What this unit did last came after what it reads now: an old copy, to be waited out.
  if ((progress.get(self)?.run ?? 0) > intent.run) return { is: 'not-mine' };
  if (!takesPart(intent, self)) return abandoned(view);
  const stages: readonly SiteStage[] = siteStages[intent.kind];
  const awaited = awaitedUnits(view).filter((unit) => !intent.ended || unit === self);
  const finished = (unit: string) => finishedStages(stages, intent, progress.get(unit));
  const mine = current(intent, progress.get(self));
  if (mine?.state === 'running') return { is: 'running', stage: mine.stage };
  const lost = awaited.filter((unit) => !present.has(unit));
  if (isRestore && lost.length > 0) return lostStep(view, lost);
  const failed = firstFailed(intent, [self, ...awaited], progress);
  if (failed !== undefined) return failed;
  const own = finished(self);
  const behind = awaited.filter((unit) => finished(unit) < own);
  // What comes first may be given back without those who are gone, what comes after waits for a person's word.
  if (behind.some((unit) => lost.includes(unit))) return lostStep(view, lost);
  const stage = stages[own];
  if (behind.length > 0) return { is: 'waiting', stage: stage ?? lastOf(stages), for: behind };
  return stage === undefined ? { is: 'done' } : { is: 'begin', stage };
}

/** Whom the others wait for; in giving up also for one that was left out, and is there after all. */
function awaitedUnits({ intent, present }: Pick<SiteView, 'intent' | 'present'>): readonly string[] {
  const { kind, units, without } = intent;
  const isAwaited = (unit: string) => !without.includes(unit) || (kind === 'abandon' && present.has(unit));
  return units.map(({ unit }) => unit).filter(isAwaited);
}

function takesPart({ kind, units, without }: Intent, self: string): boolean {
  if (kind === 'restore' && without.includes(self)) return false;
  return units.some(({ unit }) => unit === self);
}

/** Where nobody is left who has a part in it, who came later must be told how to close it. */
function abandoned(view: SiteView): SiteStep {
  const awaited = awaitedUnits(view);
  const isOrphan = !view.intent.ended && awaited.every((unit) => !view.present.has(unit));
  return isOrphan ? lostStep(view, awaited) : { is: 'not-mine' };
}

function lostStep(view: SiteView, lost: readonly string[]): SiteStep {
  const { intent } = view;
  const mayLeaveOut =
    intent.kind === 'abandon' || (!lost.includes(intent.planner) && hasBegun(view, siteStages.restore, 'database'));
  return { is: 'lost', units: lost, mayLeaveOut };
}

function lastOf(stages: readonly SiteStage[]): SiteStage {
  return stages.at(-1) ?? 'resume';
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
  units: readonly string[],
  progress: ReadonlyMap<string, Progress>,
): SiteStep | undefined {
  for (const unit of units) {
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

/**
 * Tells whether a restore was given up and nobody has anything left to do: one that was left out, and was there after all, may
 * have failed to give back what it has after everybody else had ended it.
 */
export function isGivenUp({ intent, present, progress }: Omit<SiteView, 'self'>): boolean {
  return intent.kind === 'abandon' && intent.ended && firstFailed(intent, [...present], progress) === undefined;
}

/** The intent that counts among the application's and what units wrote: the newest; of two with one number the leader's choice. */
export function newestIntent(copied: Intent | undefined, written: readonly Intent[]): Intent | undefined {
  return written.reduce<Intent | undefined>(
    (newest, each) => (newest === undefined || each.sequence > newest.sequence ? each : newest),
    copied,
  );
}

/** Tells whether everybody who is waited for has finished every stage, as far as bags tell; the leader then ends the intent. */
export function isFinished({ intent, present, progress }: Omit<SiteView, 'self'>): boolean {
  const stages: readonly SiteStage[] = siteStages[intent.kind];
  return awaitedUnits({ intent, present }).every(
    (unit) => finishedStages(stages, intent, progress.get(unit)) === stages.length,
  );
}
