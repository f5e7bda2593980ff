import { isFailure, toFailure } from '../core/failure.ts';
import { isPending, type Job } from '../core/job.ts';
import { stageJobPrefix, stageJobs, stageProgress } from '../core/restore-job.ts';
import {
  isFinished,
  newestIntent,
  nextStep,
  type Intent,
  type Progress,
  type SiteStage,
  type SiteStep,
  type SiteView,
} from '../core/site-restore.ts';
import { unitPlanSchema } from '../core/unit-plan.ts';
import type { HookTools } from '../juju/hook-tools.ts';
import { identityForJob } from './given-identity.ts';
import type { Snapshot } from './snapshot.ts';
import type { UnitMachine } from './unit-machine.ts';

/** What came of a restore over all units in this hook. */
export interface RestoreTurn {
  readonly intent: Intent;
  readonly step: SiteStep;
  /** To be published in this unit's bag; `undefined` where nothing is to be said. */
  readonly progress: Progress | undefined;
}

/** A unit does at most so many stages in one hook; there are six. */
const mostSteps = 8;

/**
 * Does this unit's part of the restore that the application's bag tells of, as far as the others allow it: looks at the jobs
 * that run, starts the next, and says what to publish. Never waits for a job.
 */
export async function takeRestoreTurn(
  snapshot: Snapshot,
  tools: HookTools,
  machine: UnitMachine,
): Promise<RestoreTurn | undefined> {
  const intent = currentIntent(snapshot);
  if (intent === undefined) return undefined;
  let own = snapshot.own.progress;
  for (let turn = 0; turn < mostSteps; turn += 1) {
    const step = nextStep(viewOf(snapshot, intent, own));
    const stage = step.is === 'begin' || step.is === 'running' ? step.stage : undefined;
    if (stage === undefined) return { intent, step, progress: own };
    const next = await doStage({ snapshot, tools, machine }, intent, stage);
    const said = next ?? own;
    if (said?.state !== 'finished') return { intent, step: nextStep(viewOf(snapshot, intent, said)), progress: said };
    own = said;
  }
  return { intent, step: nextStep(viewOf(snapshot, intent, own)), progress: own };
}

/** The intent that is in force: what the leader copied, and where we are the leader what is to be copied. */
export function currentIntent({ application, own, others, isLeader }: Snapshot): Intent | undefined {
  if (!isLeader) return application.restore;
  const written = [own, ...others.values()].flatMap(({ intent }) => (intent === undefined ? [] : [intent]));
  // Only one restore at a time: what somebody wrote while another one was open is not taken up.
  const open = application.restore;
  const isOpen = open !== undefined && !open.ended;
  return newestIntent(open, isOpen ? written.filter(({ planId }) => planId === open.planId) : written);
}

/** The intent as the leader leaves it: ended, when all have finished. */
export function endIfFinished(snapshot: Snapshot, { intent, progress }: RestoreTurn): Intent {
  if (intent.ended || !isFinished(viewOf(snapshot, intent, progress))) return intent;
  return { ...intent, ended: true };
}

/** The unit that a restore's next command is for: its planner, and where that is gone whoever is asked. */
export function spokesman({ environment, others }: Snapshot, { planner, without }: Intent): string {
  const isThere = planner === environment.unit || (others.has(planner) && !without.includes(planner));
  return isThere ? planner : environment.unit;
}

/** What this unit sees of a restore. */
export function restoreView(snapshot: Snapshot, intent: Intent): SiteView {
  return viewOf(snapshot, intent, undefined);
}

/** How the restore stands, without doing anything for it. */
export function restoreTurnOf(snapshot: Snapshot): RestoreTurn | undefined {
  const intent = currentIntent(snapshot);
  if (intent === undefined) return undefined;
  return { intent, step: nextStep(restoreView(snapshot, intent)), progress: snapshot.own.progress };
}

function viewOf({ environment, own, others }: Snapshot, intent: Intent, said: Progress | undefined): SiteView {
  const progress = new Map<string, Progress>();
  for (const [unit, bag] of others) if (bag.progress !== undefined) progress.set(unit, bag.progress);
  const mine = said ?? own.progress;
  if (mine !== undefined) progress.set(environment.unit, mine);
  return { intent, self: environment.unit, present: new Set([environment.unit, ...others.keys()]), progress };
}

interface Doing {
  readonly snapshot: Snapshot;
  readonly tools: HookTools;
  readonly machine: UnitMachine;
}

/** Looks at a stage's jobs and starts the next one; `undefined` while an older job of this unit has to end first. */
async function doStage(
  { snapshot: { environment }, tools, machine }: Doing,
  intent: Intent,
  stage: SiteStage,
): Promise<Progress | undefined> {
  const share = intent.units.find(({ unit }) => unit === environment.unit);
  const wanted = stageJobs(intent, stage, share?.roles ?? []);
  const isOther = (job: Job) => isPending(job) && isStageJob(job.id) && !job.id.startsWith(stageJobPrefix(intent));
  try {
    // What a restore still does on this unit must be over before it is undone, or done anew.
    for (const { id } of (await machine.jobs.list()).filter(isOther)) await machine.jobs.stop(id);
    const known = await machine.jobs.list();
    if (known.some(isOther)) return undefined;
    const plan = unitPlanSchema.safeParse(share?.files);
    if (plan.success && wanted.length > 0)
      await machine.keepShare(intent.planId, { files: plan.data, credentials: intent.credentials });
    const { progress, start } = stageProgress(intent, stage, { wanted, known });
    if (start !== undefined) {
      const { id, argv, opens } = start;
      const given = await identityForJob(tools, environment, (opens ? intent.identity : null) ?? '');
      await machine.jobs.start([...argv, ...given.argv], { id, input: given.input });
    }
    return progress;
  } catch (error) {
    const { run, kind, attempt } = intent;
    const { message, hint } = toFailure(error);
    // A job of a person's is in the way and passes by; all else needs somebody who says that it may be tried again.
    if (isFailure(error, 'busy')) return { run, kind, attempt, stage, state: 'running', failure: null };
    return { run, kind, attempt, stage, state: 'failed', failure: { message, hint: hint ?? null } };
  }
}

function isStageJob(id: string): boolean {
  return /^(restore|abandon)-\d+-/.test(id);
}
