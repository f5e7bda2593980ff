import type { Backup } from './backup.ts';
import { childrenOf, runsOf, type Branch, type TimelineTree } from './timeline-tree.ts';
import { segmentEndingAt, segmentOf } from './wal-name.ts';
import type { SegmentRun } from './wal-index.ts';

/** What is stored of a branch; plans ask with what would be left. */
export type StoredRuns = (branch: Branch) => readonly SegmentRun[];

/** What is stored now. */
export const storedNow: StoredRuns = (branch) => runsOf(branch);

/**
 * How far archived WAL carries a backup: on each branch that it can get to, the last segment of the unbroken row from its
 * start. A branch that left before the backup's stop can't be reached from it.
 */
export function reachOf(
  backup: Backup,
  from: Branch,
  tree: TimelineTree,
  stored: StoredRuns = storedNow,
): ReadonlyMap<string, number> {
  const reach = new Map<string, number>();
  const visit = (branch: Branch, first: number): void => {
    const run = stored(branch).find((each) => first >= each.first && first <= each.last);
    const last = run?.last ?? first - 1;
    if (run !== undefined) reach.set(branch.key, last);
    for (const child of childrenOf(tree, branch.key)) {
      const at = child.parent?.at ?? 0n;
      // The segment of the switch carries the child's name: up to the one before it the parent's are needed.
      const next = Math.max(segmentOf(at, branch.segmentSize), first);
      if (at >= backup.stopLsn && next <= last + 1) visit(child, next);
    }
  };
  visit(from, segmentOf(backup.startLsn, backup.segmentSize));
  return reach;
}

/** Tells whether all WAL from a backup's start to its stop is stored, or comes with it. */
export function hasItsWal(backup: Backup, from: Branch, tree: TimelineTree): boolean {
  if (backup.withWal) return true;
  const end = segmentEndingAt(backup.stopLsn, backup.segmentSize);
  return [...reachOf(backup, from, tree).values()].some((last) => last >= end);
}
