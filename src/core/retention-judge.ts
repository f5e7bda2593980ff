import type { Backup } from './backup.ts';
import type { IncarnationCatalogue } from './catalogue.ts';
import { Failure } from './failure.ts';
import { isHeld } from './lease.ts';
import { hasItsWal } from './reach.ts';
import type { RetentionRequest } from './retention-plan.ts';
import { branchKey, pathFrom, type Branch, type TimelineTree } from './timeline-tree.ts';

/** A complete backup and all that decides about it. */
export interface Judged {
  readonly incarnation: number;
  readonly backup: Backup;
  readonly branch: Branch;
  /** Why it is no part of count and window; `undefined` when it is. */
  readonly uncounted: string | undefined;
  /** It leads to any moment after it on whatever branch descends from it: only being on an abandoned one may speak against it. */
  readonly isBase: boolean;
  /** Why it stays whatever count and window say. */
  readonly protectedBy: readonly string[];
  /** An earlier prune has condemned it. */
  readonly isDeleting: boolean;
}

/** Judges every complete backup, oldest first by recorded LSN. */
export function judgeBackups(request: RetentionRequest, tree: TimelineTree): readonly Judged[] {
  const path = pathFrom(tree, branchKey(request.current.incarnation, request.current.timeline));
  const untilOf = new Map(path.map(({ key, until }) => [key, until]));
  const isOnPath = (branch: Branch, backup: Backup): boolean => {
    const until = untilOf.get(branch.key);
    return untilOf.has(branch.key) && (until === undefined || backup.stopLsn <= until);
  };
  return request.incarnations
    .flatMap((of) => of.backups.map((backup) => judge(of, backup, { request, tree, isOnPath })))
    .sort((a, b) => byLsn(a.backup, b.backup));
}

interface Surroundings {
  readonly request: RetentionRequest;
  readonly tree: TimelineTree;
  readonly isOnPath: (branch: Branch, backup: Backup) => boolean;
}

function judge(of: IncarnationCatalogue, backup: Backup, { request, tree, isOnPath }: Surroundings): Judged {
  const branch = tree.branches.get(branchKey(of.number, backup.timeline));
  if (branch === undefined) throw new Failure('internal', `backup ${backup.id} is on a timeline that the tree lacks`);
  const marks = readMarks(of, backup.id);
  const protectedBy = protectors(request, backup.id);
  if (marks.isPinned) protectedBy.push('pinned');
  if (marks.isUnreadable) protectedBy.push('one of its marks can not be read');
  const isWhole = hasItsWal(backup, branch, tree);
  let uncounted: string | undefined;
  if (marks.isDeleting) uncounted = 'marked for deletion';
  else if (marks.isUnreadable) uncounted = 'one of its marks can not be read';
  else if (marks.isDamaged) uncounted = 'damaged';
  else if (marks.isPinned) uncounted = 'pinned';
  else if (!isOnPath(branch, backup)) uncounted = `on a timeline that was left (${backup.timeline})`;
  else if (!isWhole) uncounted = 'not all of its own WAL is stored';
  const isUnmarked = !marks.isDeleting && !marks.isUnreadable && !marks.isDamaged && !marks.isPinned;
  const isBase = isUnmarked && isWhole && !backup.withWal;
  return { incarnation: of.number, backup, branch, uncounted, isBase, protectedBy, isDeleting: marks.isDeleting };
}

interface MarksRead {
  readonly isDeleting: boolean;
  readonly isDamaged: boolean;
  readonly isPinned: boolean;
  readonly isUnreadable: boolean;
}

/** What marks say together: `deleting` and `damaged` are for good, of pinned and unpinned the newest by number counts. */
export function readMarks(of: Pick<IncarnationCatalogue, 'marks'>, id: string): MarksRead {
  const marks = of.marks.get(id) ?? [];
  const names = marks.map((mark) => mark?.mark);
  return {
    isDeleting: names.includes('deleting'),
    isDamaged: names.includes('damaged'),
    isPinned: names.findLast((name) => name === 'pinned' || name === 'unpinned') === 'pinned',
    isUnreadable: names.includes(undefined),
  };
}

/** The jobs that need a backup, in whichever incarnation their leases lie. */
function protectors({ incarnations, clocks }: RetentionRequest, id: string): string[] {
  return incarnations
    .flatMap(({ leases }) => leases)
    .filter((held) => isHeld(held, clocks.host) && held.lease?.backups.includes(id) === true)
    .map(({ lease }) => `in use by ${lease?.kind ?? 'job'} ${lease?.job ?? ''} of ${lease?.holder ?? ''}`);
}

function byLsn(a: Backup, b: Backup): number {
  if (a.stopLsn !== b.stopLsn) return a.stopLsn < b.stopLsn ? -1 : 1;
  if (a.stoppedAt.getTime() !== b.stoppedAt.getTime()) return a.stoppedAt.getTime() - b.stoppedAt.getTime();
  return a.id < b.id ? -1 : 1; // Only so that the listing's order never shows.
}
