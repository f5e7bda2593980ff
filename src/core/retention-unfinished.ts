import type { IncarnationCatalogue, UnfinishedBackup } from './catalogue.ts';
import { isHeld, leaseLifeMs } from './lease.ts';
import { readMarks } from './retention-judge.ts';
import type { RetentionRequest, UnfinishedDecision } from './retention-plan.ts';

/** What becomes of folders without a `backup.json`. */
export interface UnfinishedDecisions {
  readonly keep: readonly UnfinishedDecision[];
  readonly sweep: readonly UnfinishedDecision[];
  /** Those that may be running while no lease says from where they need WAL. */
  readonly mayRun: readonly string[];
}

/** Decides about unfinished backups: they stay while a job may be at them, and are swept afterwards. */
export function decideUnfinished(request: RetentionRequest): UnfinishedDecisions {
  const keep: UnfinishedDecision[] = [];
  const sweep: UnfinishedDecision[] = [];
  const mayRun: string[] = [];
  for (const of of request.incarnations) {
    for (const each of of.unfinished) {
      const { stays, because } = decide(of, each, request);
      (stays ? keep : sweep).push({ incarnation: of.number, id: each.id, because });
      if (stays && leasesOf(request, each.id).every(({ lease }) => lease?.from === null)) mayRun.push(each.id);
    }
  }
  return { keep: keep.sort(byId), sweep: sweep.sort(byId), mayRun: mayRun.sort() };
}

function decide(
  of: IncarnationCatalogue,
  { id }: UnfinishedBackup,
  request: RetentionRequest,
): { readonly stays: boolean; readonly because: string } {
  const [held] = leasesOf(request, id);
  if (held !== undefined)
    return { stays: true, because: `in use by ${held.lease?.kind ?? 'job'} ${held.lease?.job ?? ''}` };
  if (readMarks(of, id).isDeleting)
    return { stays: false, because: 'the rest of a backup that an earlier prune deleted' };
  const startedAt = startOf(id);
  if (startedAt === undefined) return { stays: true, because: 'its id does not tell when it began' };
  if (request.clocks.host.getTime() - startedAt.getTime() < leaseLifeMs) {
    return { stays: true, because: 'it began less than 24 hours ago and may still be running' };
  }
  return { stays: false, because: 'interrupted more than 24 hours ago, and no job holds it' };
}

function leasesOf({ incarnations, clocks }: RetentionRequest, id: string) {
  return incarnations
    .flatMap(({ leases }) => leases)
    .filter((held) => isHeld(held, clocks.host) && held.lease?.backups.includes(id) === true);
}

/** The time that a backup's id tells, see `backupId`. */
function startOf(id: string): Date | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-/.exec(id);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match.map(Number);
  const time = Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
  return Number.isNaN(time) ? undefined : new Date(time);
}

function byId(a: UnfinishedDecision, b: UnfinishedDecision): number {
  return a.id < b.id ? -1 : 1;
}
