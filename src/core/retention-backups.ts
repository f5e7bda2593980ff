import type { Judged } from './retention-judge.ts';
import { reachOf } from './reach.ts';
import { retentionNow, type RetentionRequest } from './retention-plan.ts';
import { branchKey, pathFrom, type TimelineTree } from './timeline-tree.ts';
import { segmentOf } from './wal-name.ts';

/** A backup that stays. */
export interface Kept {
  readonly judged: Judged;
  readonly because: readonly string[];
}

/** A backup that goes. */
export interface Expired {
  readonly judged: Judged;
  readonly because: string;
}

/** Decides about complete backups; both lists are oldest first. */
export function decideBackups(
  request: RetentionRequest,
  tree: TimelineTree,
  judged: readonly Judged[],
): { readonly keep: readonly Kept[]; readonly expire: readonly Expired[] } {
  const counted = judged.filter(({ uncounted }) => uncounted === undefined);
  const edge = new Date(retentionNow(request.clocks).getTime() - request.policy.days * 24 * 60 * 60 * 1000);
  const rules: Rules = {
    ...request.policy,
    newest: new Set(counted.slice(-request.policy.count)),
    edge,
    window: windowOf(counted, edge),
    archivedAnchor: archivedAnchor(counted, edge, tree),
    abandoned: basesOfAbandoned(request, tree, judged, edge),
  };
  const keep: Kept[] = [];
  const expire: Expired[] = [];
  for (const each of judged) {
    const because = [
      ...each.protectedBy,
      ...(each.uncounted === undefined ? reasons(each, rules) : grace(each, rules)),
    ];
    if (because.length > 0) keep.push({ judged: each, because });
    else expire.push({ judged: each, because: verdict(each, rules) });
  }
  return { keep, expire };
}

interface Window {
  readonly anchor: Judged | undefined;
  readonly inside: ReadonlySet<Judged>;
}

interface Rules {
  readonly count: number;
  readonly days: number;
  readonly newest: ReadonlySet<Judged>;
  readonly edge: Date;
  readonly window: Window;
  readonly archivedAnchor: Judged | undefined;
  /** What abandoned timelines that the window has not passed yet begin from. */
  readonly abandoned: ReadonlyMap<Judged, number>;
}

/**
 * The anchor is the last backup before the first that ended inside the window; in the order of LSNs, so that a clock that
 * was set back for a while keeps more, never less. Without one every backup lies inside.
 */
function windowOf(counted: readonly Judged[], edge: Date): Window {
  const first = counted.findIndex(({ backup }) => backup.stoppedAt > edge);
  const from = first < 0 ? counted.length : first;
  return { anchor: counted[from - 1], inside: new Set(counted.slice(from)) };
}

/**
 * The anchor among backups that lead to any moment: one with its own WAL leads to its own end only and is no anchor for the
 * moments after it. It counts as long as archived WAL carries it into the window.
 */
function archivedAnchor(counted: readonly Judged[], edge: Date, tree: TimelineTree): Judged | undefined {
  const { anchor } = windowOf(
    counted.filter(({ backup }) => !backup.withWal),
    edge,
  );
  if (anchor === undefined) return undefined;
  const reach = Math.max(...reachOf(anchor.backup, anchor.branch, tree).values());
  const endsBefore = ({ backup }: Judged): boolean =>
    backup.stoppedAt <= edge && segmentOf(backup.startLsn, backup.segmentSize) > reach;
  return counted.some(endsBefore) ? undefined : anchor;
}

/**
 * The moments of a timeline that was left are in the window too until it has passed them. They need the backups that lead
 * there, which are not those of the current timeline when it left before one of these had ended. A timeline is passed when
 * something on a later one, which is always a higher one, is older than the window.
 */
function basesOfAbandoned(
  { incarnations, current }: RetentionRequest,
  tree: TimelineTree,
  judged: readonly Judged[],
  edge: Date,
): ReadonlyMap<Judged, number> {
  const bases = new Map<Judged, number>();
  for (const branch of tree.branches.values()) {
    const { key, timeline } = branch;
    const isLeft = judged.some(({ backup }) => backup.timeline > timeline && backup.startedAt <= edge);
    const isRestored = incarnations.some(({ number, owner }) => number > branch.incarnation && owner.since <= edge);
    if (isLeft || isRestored || key === branchKey(current.incarnation, current.timeline)) continue;
    const untilOf = new Map(pathFrom(tree, key).map((piece) => [piece.key, piece.until]));
    const leading = judged.filter(({ backup, branch: of, isBase }) => {
      const until = untilOf.get(of.key);
      return isBase && untilOf.has(of.key) && (until === undefined || backup.stopLsn <= until);
    });
    const { anchor, inside } = windowOf(leading, edge);
    for (const base of [...(anchor === undefined ? [] : [anchor]), ...inside])
      bases.set(base, Math.min(timeline, bases.get(base) ?? timeline));
  }
  return bases;
}

function reasons(each: Judged, rules: Rules): string[] {
  const { count, days, newest, edge, window, archivedAnchor: archived } = rules;
  const because: string[] = [...abandonedReason(each, rules)];
  if (newest.has(each)) because.push(`one of the ${count} newest`);
  if (window.inside.has(each)) because.push(`inside the window of ${days} days`);
  if (window.anchor === each || archived === each) {
    because.push(`the anchor: the newest from before the window's edge ${edge.toISOString()}`);
  }
  return because;
}

function abandonedReason(each: Judged, { abandoned, days }: Rules): readonly string[] {
  const timeline = abandoned.get(each);
  return timeline === undefined
    ? []
    : [`timeline ${timeline} begins from it, and was still in use within ${days} days`];
}

/** What doesn't count stays until the window has passed it: until an anchor that counts is newer. */
function grace(each: Judged, rules: Rules): readonly string[] {
  const { backup, uncounted, isDeleting, protectedBy } = each;
  if (isDeleting || protectedBy.length > 0) return [];
  const anchor = rules.window.anchor?.backup;
  const isPassed = anchor !== undefined && backup.stoppedAt < anchor.startedAt;
  return isPassed ? abandonedReason(each, rules) : [`${uncounted ?? ''}: stays until the window has passed it`];
}

function verdict({ backup, uncounted, isDeleting }: Judged, { count, edge }: Rules): string {
  if (isDeleting) return 'marked for deletion by an earlier prune';
  if (uncounted !== undefined) return `${uncounted}, and a good backup from before the window's edge is newer`;
  return `ended ${backup.stoppedAt.toISOString()}, before the anchor of the window from ${edge.toISOString()}, and is none of the ${count} newest`;
}
