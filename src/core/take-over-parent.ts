import type { ClusterCatalogue } from './catalogue.ts';
import { Failure } from './failure.ts';
import type { Owner } from './incarnation.ts';
import { formatLsn } from './lsn.ts';
import { longestPart, runWith } from './wal-index.ts';
import { segmentEndingAt, segmentStart } from './wal-name.ts';
import type { TimelineSwitch } from './timeline.ts';

/** Where a restored cluster left the line that it was restored from. */
export type Parent = NonNullable<Owner['parent']>;

/**
 * Finds the incarnation that a restored cluster continues: the one that itself stores the WAL in which its newest timeline
 * begins. `named` decides where that is not unique.
 *
 * Fails with `refused` for a cluster without a timeline of its own: a clone of a data directory writes the same positions as
 * its original, and nobody can say where they part.
 */
export function findParent(
  cluster: ClusterCatalogue,
  timeline: number,
  history: readonly TimelineSwitch[],
  named: number | undefined,
): Parent {
  const left = history.at(-1);
  if (left === undefined) {
    throw new Failure(
      'refused',
      `the cluster is on timeline ${timeline} and has no history of its own: it is a clone of its original, not a restored copy`,
      {
        hint: 'Restore it with landscape-backup restore, or promote it out of a recovery: that gives it a timeline of its own.',
      },
    );
  }
  const holders = cluster.incarnations.filter(({ wal }) => {
    const segment = segmentEndingAt(left.at, wal.segmentSize);
    const index = wal.timelines.get(left.parent);
    const part = longestPart(index, segment);
    const reach = segmentStart(segment, wal.segmentSize) + BigInt(part?.length ?? 0);
    return runWith(index, segment) !== undefined || (part !== undefined && reach >= left.at);
  });
  const chosen = named === undefined ? holders : cluster.incarnations.filter(({ number }) => number === named);
  const [only, ...others] = chosen;
  if (only !== undefined && others.length === 0)
    return { incarnation: only.number, timeline: left.parent, lsn: left.at };
  const known = cluster.incarnations.map(({ number }) => number).join(', ');
  throw new Failure('refused', whyUnclear(left, holders.length, named), {
    hint: `Say which it was restored from with --incarnation; the repository has ${known === '' ? 'none' : known}.`,
  });
}

function whyUnclear({ parent, at }: TimelineSwitch, holders: number, named: number | undefined): string {
  if (named !== undefined) return `the repository has no incarnation ${named} of this cluster`;
  const where = `timeline ${parent} at ${formatLsn(at)}`;
  return `${holders === 0 ? 'no' : 'more than one'} incarnation stores ${where}, where this cluster left its original`;
}
