import type { Backup } from './backup.ts';
import type { IncarnationCatalogue } from './catalogue.ts';
import { decideBackups } from './retention-backups.ts';
import { judgeBackups, type Judged } from './retention-judge.ts';
import { planRefusals } from './retention-guards.ts';
import { decideUnfinished } from './retention-unfinished.ts';
import { decideWal } from './retention-wal.ts';
import { reachOf, storedNow, type StoredRuns } from './reach.ts';
import { buildTree, type TimelineTree } from './timeline-tree.ts';

/** What is kept: the union of both. */
export interface RetentionPolicy {
  /** The newest backups that are kept, however old; the floor under everything. */
  readonly count: number;
  /** The window in which every instant stays restorable, in days of 24 hours; 0 is none. */
  readonly days: number;
}

/** What three clocks said at about the same moment. */
export interface Clocks {
  readonly host: Date;
  readonly server: Date;
  readonly destination: Date;
}

/** All that a retention plan depends on. */
export interface RetentionRequest {
  /** The incarnations of this owner that continue each other, in any order; nobody else's. */
  readonly incarnations: readonly IncarnationCatalogue[];
  /** Where the server writes now: the incarnation that is claimed, and its timeline. */
  readonly current: { readonly incarnation: number; readonly timeline: number };
  readonly policy: RetentionPolicy;
  readonly clocks: Clocks;
  /** The last moment at which the schedule wanted a backup; `undefined` without a schedule. */
  readonly scheduledAt: Date | undefined;
}

/** A backup that stays, with every reason. */
export interface KeptBackup {
  readonly incarnation: number;
  readonly backup: Backup;
  readonly because: readonly string[];
}

/** A backup that goes. */
export interface ExpiredBackup {
  readonly incarnation: number;
  readonly backup: Backup;
  readonly because: string;
  /** It was condemned by an earlier prune, which this one finishes. */
  readonly isRest: boolean;
}

/** What an interrupted job left, by the id of its backup. */
export interface UnfinishedDecision {
  readonly incarnation: number;
  readonly id: string;
  readonly because: string;
}

/** Whole segments of one timeline, both ends included, and why they stay or go. */
export interface WalDecision {
  readonly incarnation: number;
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
  readonly because: string;
}

/** What expires and what stays, each with its reason; nothing is touched by deciding it. */
export interface RetentionPlan {
  /** Why nothing may expire now; with any of these nothing does. */
  readonly refusals: readonly string[];
  /** Oldest first. */
  readonly keep: readonly KeptBackup[];
  readonly delete: readonly ExpiredBackup[];
  readonly unfinished: { readonly keep: readonly UnfinishedDecision[]; readonly sweep: readonly UnfinishedDecision[] };
  readonly wal: {
    readonly keep: readonly WalDecision[];
    readonly delete: readonly WalDecision[];
    /** Names that no cluster could have made; they are told and never touched. */
    readonly strangers: readonly string[];
  };
}

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

/** The moment that counts as now: the slowest clock's, so that a fast one shortens no window. */
export function retentionNow({ host, server, destination }: Clocks): Date {
  return new Date(Math.min(host.getTime(), server.getTime(), destination.getTime()));
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
