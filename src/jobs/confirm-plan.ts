import { backupFault } from '../core/backup-fault.ts';
import { type Stretch } from '../core/restorable.ts';
import type { ClusterCatalogue } from '../core/catalogue.ts';
import { isFailure } from '../core/failure.ts';
import type { KeptPlan, RestorePlan } from '../core/restore-plan.ts';
import { judgeStanding } from '../core/restore-standing.ts';
import type { Backup } from '../core/backup.ts';
import { longestPart, type TimelineIndex } from '../core/wal-index.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { nextIncarnation } from '../repository/incarnations.ts';
import { localStanding } from './local-standing.ts';
import { loadPlan } from './kept-plans.ts';
import { checkMachine, measureRestore, type RestoreMeasurements } from './measure-restore.ts';
import type { PlanContext, RestoreRequest } from './plan-context.ts';
import { proveKeys } from './prove-keys.ts';
import { decideDirectories } from './restore-places.ts';

/** What became of a plan since it was printed. */
export type Confirmed =
  | {
      readonly stands: true;
      readonly kept: KeptPlan;
      readonly backup: Backup;
      readonly measurements: RestoreMeasurements;
    }
  /** It no longer holds: `request` is what a new plan is made from. */
  | { readonly stands: false; readonly why: string; readonly request: RestoreRequest };

/**
 * Loads a kept plan and looks whether all it decided still holds; what was measured is measured again.
 *
 * New WAL and new backups change nothing: the plan runs as it was printed. Fails with `refused` for an unknown id and with
 * `machine` when the machine no longer has what it needs.
 */
export async function confirmPlan(context: PlanContext, id: string): Promise<Confirmed> {
  const kept = await loadPlan(context.unit, id);
  const { plan } = kept;
  const request = requestOf(plan);
  const changed = (why: string): Confirmed => ({ stands: false, why, request });
  if (plan.cluster !== context.cluster.label)
    return changed(`it is for ${plan.cluster}, not for ${context.cluster.label}`);
  if (plan.repositoryId !== context.repository.record.id) return changed('it is for another repository');
  const catalogue = await readCatalogue(context.repository, plan.systemIdentifier);
  const holder = catalogue.incarnations.find(({ number }) => number === plan.backup.incarnation);
  const backup = holder?.backups.find((each) => each.id === plan.backup.id);
  if (holder === undefined || backup === undefined) return changed(`backup ${plan.backup.id} is gone`);
  const fault = backupFault(holder, backup.id);
  if (fault !== undefined) return changed(`backup ${backup.id} is no use any more: ${fault}`);
  const lost = firstLost(catalogue, plan);
  if (lost !== undefined) return changed(lost);
  if (plan.claims !== null && plan.claims !== nextIncarnation(catalogue.incarnations)) {
    return changed(`incarnation ${plan.claims}, which it would claim, has been claimed`);
  }
  const refusal = await refusalNow(context, catalogue, plan, backup);
  if (refusal !== undefined) return changed(refusal);
  await proveKeys(context.repository, plan, backup);
  const measurements = await measureRestore(context, plan, backup);
  checkMachine(plan, measurements);
  return { stands: true, kept, backup, measurements };
}

/** Tests the decisions about this machine again; says why they no longer hold. */
async function refusalNow(
  context: PlanContext,
  catalogue: ClusterCatalogue,
  plan: RestorePlan,
  backup: Backup,
): Promise<string | undefined> {
  try {
    judgeStanding(await localStanding(context), catalogue, requestOf(plan));
    const directories = await decideDirectories(context.cluster, backup, requestOf(plan).tablespaceMap);
    const same = directories.data === plan.directories.data && directories.wal === plan.directories.wal;
    return same ? undefined : `the directories of ${plan.cluster} have changed`;
  } catch (error) {
    if (isFailure(error, 'refused')) return error.message;
    throw error;
  }
}

/** The first thing that the plan serves and that is stored no longer. */
function firstLost(catalogue: ClusterCatalogue, { service }: RestorePlan): string | undefined {
  const of = (incarnation: number) => catalogue.incarnations.find(({ number }) => number === incarnation);
  const lost = service.segments.find(
    (segments) => !isStored(of(segments.incarnation)?.wal.timelines.get(segments.timeline), segments),
  );
  if (lost !== undefined) return `WAL of timeline ${lost.timeline} that it needs is gone`;
  const history = service.histories.find(
    ({ timeline, incarnation }) => of(incarnation)?.histories.has(timeline) !== true,
  );
  return history === undefined ? undefined : `the history of timeline ${history.timeline} is gone`;
}

/** What is more than a part counts as well: the part is cut out of it. */
function isStored(
  index: TimelineIndex | undefined,
  { first, last, part }: Pick<Stretch, 'first' | 'last' | 'part'>,
): boolean {
  if (index?.runs.some((run) => run.first <= first && run.last >= last) === true) return true;
  return part !== undefined && (longestPart(index, first)?.length ?? 0) >= part;
}

/** What had been asked for, as far as the plan tells; the backup is left open, for it may be what is gone. */
function requestOf(plan: RestorePlan): RestoreRequest {
  return {
    target: plan.target,
    incarnation: plan.incarnation,
    systemIdentifier: plan.systemIdentifier,
    inPlace: plan.inPlace,
    discardOld: plan.discardOld,
    takeOver: plan.claims !== null && !plan.inPlace,
    tablespaceMap: Object.fromEntries(plan.directories.tablespaces.map(({ was, location }) => [was, location])),
    credentials: plan.credentials,
  };
}
