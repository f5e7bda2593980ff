import { isPending } from '../core/job.ts';
import { stageJobs, stageProgress } from '../core/restore-job.ts';
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
export async function takeRestoreTurn(snapshot: Snapshot, machine: UnitMachine): Promise<RestoreTurn | undefined> {
  const intent = currentIntent(snapshot);
  if (intent === undefined) return undefined;
  let own = snapshot.own.progress;
  for (let turn = 0; turn < mostSteps; turn += 1) {
    const step = nextStep(viewOf(snapshot, intent, own));
    const stage = step.is === 'begin' || step.is === 'running' ? step.stage : undefined;
    if (stage === undefined) return { intent, step, progress: own };
    const next = await doStage(snapshot, machine, intent, stage);
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
  const newest = newestIntent(application.restore, written);
  // Only one restore at a time: what somebody wrote while another one was open is not taken up.
  const open = application.restore;
  if (newest === undefined || open === undefined || open.ended || newest === open) return newest;
  return newest.planId === open.planId ? newest : open;
}

/** The intent as the leader leaves it: ended, when all have finished. */
export function endIfFinished(snapshot: Snapshot, { intent, progress }: RestoreTurn): Intent {
  if (intent.ended || !isFinished(viewOf(snapshot, intent, progress))) return intent;
  return { ...intent, ended: true, sequence: intent.sequence + 1 };
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

/** Looks at a stage's jobs and starts the next one; `undefined` while an older job of this unit has to end first. */
async function doStage(
  { environment, local }: Snapshot,
  machine: UnitMachine,
  intent: Intent,
  stage: SiteStage,
): Promise<Progress | undefined> {
  const share = intent.units.find(({ unit }) => unit === environment.unit);
  const wanted = stageJobs(intent, stage, share?.roles ?? []);
  const prefix = `${intent.kind}-${intent.run}-`;
  const other = local.jobs.find((job) => isPending(job) && isStageJob(job.id) && !job.id.startsWith(prefix));
  if (other !== undefined) {
    // What a restore still does on this unit must be over before it is undone, or done anew.
    await machine.jobs.stop(other.id);
    return undefined;
  }
  const plan = unitPlanSchema.safeParse(share?.files);
  if (plan.success && wanted.length > 0)
    await machine.keepShare(intent.planId, { files: plan.data, credentials: intent.credentials });
  const jobs = [];
  for (const each of wanted) jobs.push({ ...each, job: await machine.jobs.look(each.id) });
  const { progress, start } = stageProgress(intent, stage, jobs);
  if (start !== undefined) await machine.jobs.start(start.argv, { id: start.id });
  return progress;
}

function isStageJob(id: string): boolean {
  return /^(restore|abandon)-\d+-/.test(id);
}
