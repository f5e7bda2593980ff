import { decideBackups } from './retention-backups.ts';
import { judgeBackups, type Judged } from './retention-judge.ts';
import { planRefusals } from './retention-guards.ts';
import type { RetentionPlan, RetentionRequest, WalDecision } from './retention-plan.ts';
import { decideUnfinished } from './retention-unfinished.ts';
import { decideWal } from './retention-wal.ts';
import { reachOf, storedNow, type StoredRuns } from './reach.ts';
import { buildTree, type TimelineTree } from './timeline-tree.ts';

/**
 * Decides what expires: one pure function for every incarnation of one owner.
 *
 * The rules, in this order: what can't be read protects everything; a backup counts when it is complete, unmarked and on the
 * way to where the server writes; the newest `count` that count stay, and so do the newest from before the window's edge (the
 * anchor) and all after it; what doesn't count goes once the anchor is newer; WAL goes when it lies below everything that a
 * backup, a lease or a running job may need. Last, what every remaining backup can reach is computed again without what would
 * go, and a plan that takes anything from one is refused.
 */
export function planRetention(request: RetentionRequest): RetentionPlan {
  const tree = buildTree(request.incarnations);
  const judged = judgeBackups(request, tree);
  const refusals = planRefusals(request, judged);
  if (refusals.length > 0) return nothingExpires(request, judged, refusals);
  const { keep, expire } = decideBackups(request, tree, judged);
  const unfinished = decideUnfinished(request);
  const wal = decideWal(request, tree, keep, unfinished.mayRun);
  const worse = findWorse(tree, keep, wal.delete);
  if (worse.length > 0) return nothingExpires(request, judged, worse);
  return {
    refusals: [],
    keep: keep.map(({ judged: { incarnation, backup }, because }) => ({ incarnation, backup, because })),
    delete: expire.map(({ judged: { incarnation, backup, isDeleting }, because }) => ({
      incarnation,
      backup,
      because,
      isRest: isDeleting,
    })),
    unfinished: { keep: unfinished.keep, sweep: unfinished.sweep },
    wal: { ...wal, strangers: strangersIn(request) },
  };
}

function strangersIn({ incarnations }: RetentionRequest): readonly string[] {
  return incarnations.flatMap(({ wal }) => wal.strangers).sort();
}

function nothingExpires(
  request: RetentionRequest,
  judged: readonly Judged[],
  refusals: readonly string[],
): RetentionPlan {
  const because = 'nothing expires now';
  return {
    refusals,
    keep: judged.map(({ incarnation, backup }) => ({ incarnation, backup, because: [because] })),
    delete: [],
    unfinished: {
      keep: request.incarnations.flatMap(({ number, unfinished }) =>
        unfinished.map(({ id }) => ({ incarnation: number, id, because })),
      ),
      sweep: [],
    },
    wal: { keep: [], delete: [], strangers: strangersIn(request) },
  };
}

/** The assertion over a finished plan: says of every remaining backup that would reach less far than before. */
export function findWorse(
  tree: TimelineTree,
  keep: readonly { readonly judged: Pick<Judged, 'backup' | 'branch'> }[],
  gone: readonly WalDecision[],
): readonly string[] {
  const left: StoredRuns = (branch) => {
    const cuts = gone.filter(
      ({ incarnation, timeline }) => incarnation === branch.incarnation && timeline === branch.timeline,
    );
    return storedNow(branch).flatMap((run) => {
      let pieces = [run];
      for (const { first, last } of cuts) {
        pieces = pieces.flatMap((piece) => [
          ...(piece.first < first ? [{ first: piece.first, last: Math.min(piece.last, first - 1) }] : []),
          ...(piece.last > last ? [{ first: Math.max(piece.first, last + 1), last: piece.last }] : []),
        ]);
      }
      return pieces;
    });
  };
  return keep.flatMap(({ judged: { backup, branch } }) => {
    if (backup.withWal) return [];
    const [before, after] = [reachOf(backup, branch, tree), reachOf(backup, branch, tree, left)];
    const isSame = before.size === after.size && [...before].every(([key, last]) => after.get(key) === last);
    return isSame
      ? []
      : [`the plan would take WAL from backup ${backup.id}, which stays: this is a fault in landscape-backup`];
  });
}
