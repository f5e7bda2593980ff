import type { IncarnationCatalogue } from './catalogue.ts';
import type { Lsn } from './lsn.ts';
import type { TimelineSwitch } from './timeline.ts';
import type { SegmentRun, TimelineIndex } from './wal-index.ts';

/** One timeline as one incarnation stores it: two incarnations may give the same number to different WAL. */
export interface Branch {
  readonly key: string;
  readonly incarnation: number;
  readonly timeline: number;
  readonly segmentSize: number;
  /** Where it left which branch; `undefined` for a root, and for one that left something we don't hold. */
  readonly parent: { readonly key: string; readonly at: Lsn } | undefined;
  /** Its ancestors are known. Otherwise it might descend from any lower timeline. */
  readonly isPlaced: boolean;
  readonly index: TimelineIndex | undefined;
}

/** The branches of incarnations that continue each other. */
export interface TimelineTree {
  readonly branches: ReadonlyMap<string, Branch>;
}

/** The key of a branch. */
export function branchKey(incarnation: number, timeline: number): string {
  return `${incarnation}/${timeline}`;
}

/** Builds the tree from history files, owners and listings. */
export function buildTree(incarnations: readonly IncarnationCatalogue[]): TimelineTree {
  const branches = new Map<string, Branch>();
  for (const incarnation of incarnations) {
    for (const timeline of timelinesOf(incarnation)) {
      const branch = makeBranch(incarnation, timeline, incarnations);
      branches.set(branch.key, branch);
    }
  }
  return { branches };
}

/** Every timeline that an incarnation stores something of, or whose histories pass through while it owns it. */
function timelinesOf(incarnation: IncarnationCatalogue): ReadonlySet<number> {
  const inherited = incarnation.owner.parent?.timeline ?? 0;
  const passed = [...incarnation.histories.values()].flat().map(({ parent }) => parent);
  return new Set([
    ...incarnation.wal.timelines.keys(),
    ...incarnation.histories.keys(),
    ...incarnation.backups.map(({ timeline }) => timeline),
    ...passed.filter((timeline) => timeline > inherited),
  ]);
}

function makeBranch(of: IncarnationCatalogue, timeline: number, all: readonly IncarnationCatalogue[]): Branch {
  const left = whereItLeft(of, timeline);
  return {
    key: branchKey(of.number, timeline),
    incarnation: of.number,
    timeline,
    segmentSize: of.wal.segmentSize,
    parent: left === undefined || left === 'root' ? undefined : parentBranch(of, left, all),
    isPlaced: left !== undefined,
    index: of.wal.timelines.get(timeline),
  };
}

/** By the timeline's own history, or by that of a descendant; `undefined` when no history tells. */
function whereItLeft(of: IncarnationCatalogue, timeline: number): TimelineSwitch | 'root' | undefined {
  const own = of.histories.get(timeline);
  if (own !== undefined) return own.at(-1) ?? 'root';
  for (const history of of.histories.values()) {
    const at = history.findIndex(({ parent }) => parent === timeline);
    if (at >= 0) return history[at - 1] ?? 'root';
  }
  return timeline === 1 ? 'root' : undefined;
}

/** Timelines up to the one where an incarnation left its parent are the parent's; later ones are its own. */
function parentBranch(
  of: IncarnationCatalogue,
  left: TimelineSwitch,
  all: readonly IncarnationCatalogue[],
): Branch['parent'] {
  let holder: IncarnationCatalogue | undefined = of;
  for (let steps = 0; holder !== undefined && steps <= all.length; steps += 1) {
    const above: IncarnationCatalogue['owner']['parent'] = holder.owner.parent;
    if (above === null || left.parent > above.timeline)
      return { key: branchKey(holder.number, left.parent), at: left.at };
    holder = all.find(({ number }) => number === above.incarnation);
  }
  return undefined;
}

/** The branches that left this one. */
export function childrenOf(tree: TimelineTree, key: string): readonly Branch[] {
  return [...tree.branches.values()].filter(({ parent }) => parent?.key === key);
}

/** Everything that descends from a branch, itself not included. */
export function descendantsOf(tree: TimelineTree, key: string): readonly Branch[] {
  return childrenOf(tree, key).flatMap((child) => [child, ...descendantsOf(tree, child.key)]);
}

/** A branch on the way to another: up to which LSN it is on it, `undefined` for the way's end itself. */
export interface PathPiece {
  readonly key: string;
  readonly until: Lsn | undefined;
}

/** The way from a branch back to its root, the branch first. */
export function pathFrom(tree: TimelineTree, key: string): readonly PathPiece[] {
  const path: PathPiece[] = [];
  let piece: PathPiece | undefined = { key, until: undefined };
  while (piece !== undefined) {
    path.push(piece);
    const parent: Branch['parent'] = tree.branches.get(piece.key)?.parent;
    piece = parent === undefined ? undefined : { key: parent.key, until: parent.at };
  }
  return path;
}

/** The stored runs of a branch. */
export function runsOf(branch: Branch | undefined): readonly SegmentRun[] {
  return branch?.index?.runs ?? [];
}
