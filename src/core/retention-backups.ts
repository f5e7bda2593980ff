import type { Judged } from './retention-judge.ts';
import { reachOf } from './reach.ts';
import { retentionNow, type RetentionRequest } from './retention.ts';
import type { TimelineTree } from './timeline-tree.ts';
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

function reasons(each: Judged, { count, days, newest, edge, window, archivedAnchor: archived }: Rules): string[] {
  const because: string[] = [];
  if (newest.has(each)) because.push(`one of the ${count} newest`);
  if (window.inside.has(each)) because.push(`inside the window of ${days} days`);
  if (window.anchor === each || archived === each) {
    because.push(`the anchor: the newest from before the window's edge ${edge.toISOString()}`);
  }
  return because;
}

/** What doesn't count stays until the window has passed it: until an anchor that counts is newer. */
function grace({ backup, uncounted, isDeleting, protectedBy }: Judged, { window }: Rules): string[] {
  if (isDeleting || protectedBy.length > 0) return [];
  const anchor = window.anchor?.backup;
  const isPassed = anchor !== undefined && backup.stoppedAt < anchor.startedAt;
  return isPassed ? [] : [`${uncounted ?? ''}: stays until the window has passed it`];
}

function verdict({ backup, uncounted, isDeleting }: Judged, { count, edge }: Rules): string {
  if (isDeleting) return 'marked for deletion by an earlier prune';
  if (uncounted !== undefined) return `${uncounted}, and a good backup from before the window's edge is newer`;
  return `ended ${backup.stoppedAt.toISOString()}, before the anchor of the window from ${edge.toISOString()}, and is none of the ${count} newest`;
}
