import { isHeld } from './lease.ts';
import type { Kept } from './retention-backups.ts';
import type { Judged } from './retention-judge.ts';
import type { RetentionRequest, WalDecision } from './retention-plan.ts';
import { descendantsOf, pathFrom, runsOf, type Branch, type TimelineTree } from './timeline-tree.ts';
import { segmentOf } from './wal-name.ts';

/** Segments of a branch that somebody may need, both ends included. */
interface Need {
  readonly first: number;
  readonly last: number;
  readonly because: string;
}

/**
 * Decides about whole segments; `.history` files, and names that we can't place, always stay.
 *
 * A segment goes only when it lies provably below everything that is needed: by kept backups on their own timeline and
 * whatever descends from it, by leases and running jobs on every timeline. Where nothing says what is needed, all stays.
 */
export function decideWal(
  request: RetentionRequest,
  tree: TimelineTree,
  keep: readonly Kept[],
  mayRun: readonly string[],
): { readonly keep: readonly WalDecision[]; readonly delete: readonly WalDecision[] } {
  const everywhere = needsEverywhere(request, keep, mayRun);
  const needs = needsOfBackups(tree, keep);
  const kept: WalDecision[] = [];
  const expired: WalDecision[] = [];
  for (const branch of [...tree.branches.values()].sort(byPlace)) {
    const needed = [...everywhere, ...(needs.get(branch.key) ?? []), ...needsOfUnplaced(branch, keep)];
    for (const run of runsOf(branch)) {
      const place = { incarnation: branch.incarnation, timeline: branch.timeline };
      for (const { first, last, because } of split(run.first, run.last, needed)) {
        if (because === undefined)
          expired.push({ ...place, first, last, because: 'no kept backup, lease or job can need it' });
        else kept.push({ ...place, first, last, because });
      }
    }
  }
  return { keep: kept, delete: expired };
}

const all = { first: 0, last: Infinity };

/** Needs on every timeline: those of jobs, which are short, and of everything where nothing tells what is needed. */
function needsEverywhere(request: RetentionRequest, keep: readonly Kept[], mayRun: readonly string[]): readonly Need[] {
  const needs: Need[] = mayRun.map((id) => ({
    ...all,
    because: `backup ${id} may be running and nothing says from where`,
  }));
  for (const { leases, wal } of request.incarnations) {
    for (const held of leases.filter((each) => isHeld(each, request.clocks.host))) {
      const from = held.lease?.from;
      if (from === undefined || from === null) continue;
      const first = segmentOf(from.lsn, wal.segmentSize);
      needs.push({ first, last: Infinity, because: `needed by ${held.lease?.kind ?? 'job'} ${held.lease?.job ?? ''}` });
    }
  }
  if (newestCounted(keep) === undefined) needs.push({ ...all, because: 'there is no good backup to measure by' });
  return needs;
}

/** The newest backup that counts stays under every policy and every lease, so what is measured by it never shrinks. */
function newestCounted(keep: readonly Kept[]): Judged | undefined {
  return keep.findLast(({ judged }) => judged.uncounted === undefined)?.judged;
}

function needsOfBackups(tree: TimelineTree, keep: readonly Kept[]): ReadonlyMap<string, readonly Need[]> {
  const needs = new Map<string, Need[]>();
  const add = (key: string, need: Need): void => {
    needs.set(key, [...(needs.get(key) ?? []), need]);
  };
  for (const { judged } of keep) {
    const { backup, branch } = judged;
    // What comes with its own WAL needs none; but what comes after the newest may be the start of archiving.
    if (backup.withWal && judged !== newestCounted(keep)) continue;
    const first = segmentOf(backup.startLsn, backup.segmentSize);
    const because = `needed by backup ${backup.id}`;
    for (const { key } of [branch, ...descendantsOf(tree, branch.key)]) add(key, { first, last: Infinity, because });
    // A switch inside the first segment: the ancestor's copy of it holds the same bytes up to there.
    for (const { key, until } of pathFrom(tree, branch.key)) {
      if (until !== undefined) add(key, { first, last: segmentOf(until, backup.segmentSize), because });
    }
  }
  return needs;
}

/** A timeline without a known history may descend from every lower one; without any backup before it, it all stays. */
function needsOfUnplaced(branch: Branch, keep: readonly Kept[]): readonly Need[] {
  if (branch.isPlaced) return [];
  const because = `timeline ${branch.timeline} has no history file, so nobody knows what it belongs to`;
  const below = keep.filter(
    ({ judged }) => judged.branch.incarnation <= branch.incarnation && judged.backup.timeline <= branch.timeline,
  );
  const own = below.some(({ judged }) => judged.branch.key === branch.key);
  if (!own) return [{ ...all, because }];
  return below
    .filter(({ judged }) => !judged.backup.withWal)
    .map(({ judged }) => ({ first: segmentOf(judged.backup.startLsn, branch.segmentSize), last: Infinity, because }));
}

/** Cuts a run at the ends of needs; pieces that follow each other with the same reason are one. */
function split(
  first: number,
  last: number,
  needs: readonly Need[],
): readonly { readonly first: number; readonly last: number; readonly because: string | undefined }[] {
  const cuts = new Set([first]);
  for (const need of needs) {
    if (need.first > first && need.first <= last) cuts.add(need.first);
    if (need.last >= first && need.last < last) cuts.add(need.last + 1);
  }
  const starts = [...cuts].sort((a, b) => a - b);
  const pieces: { first: number; last: number; because: string | undefined }[] = [];
  starts.forEach((start, place) => {
    const end = (starts[place + 1] ?? last + 1) - 1;
    const because = needs.find((need) => need.first <= start && need.last >= end)?.because;
    const before = pieces.at(-1);
    if (before !== undefined && before.because === because) before.last = end;
    else pieces.push({ first: start, last: end, because });
  });
  return pieces;
}

function byPlace(a: Branch, b: Branch): number {
  return a.incarnation === b.incarnation ? a.timeline - b.timeline : a.incarnation - b.incarnation;
}
