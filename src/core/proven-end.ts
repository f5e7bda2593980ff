import type { ClusterCatalogue } from './catalogue.ts';
import { microsOf } from './recovery-target.ts';
import { backupsOn, type Way, type Window } from './restorable.ts';
import { timelineOfSegment } from './timeline.ts';
import { segmentEndingAt } from './wal-name.ts';

/**
 * The newest instant of which we know that everything committed until then lies in a window, in microseconds since 1970.
 *
 * It is the newest of: the last commit or abort that was read, the incarnation's witness ("at that time everything up to
 * there was stored") and the start of every backup whose WAL the window holds: who commits before it lies before it.
 */
export function provenMicros(
  cluster: ClusterCatalogue,
  way: Way,
  window: Pick<Window, 'to'>,
  newestMicros: bigint | undefined,
): bigint {
  const instants: bigint[] = newestMicros === undefined ? [] : [newestMicros];
  for (const { backup } of backupsOn(cluster, way)) {
    if (backup.stopLsn <= window.to) instants.push(microsOf(backup.startedAt));
  }
  const witness = cluster.incarnations.find(({ number }) => number === way.incarnation)?.witness;
  if (witness !== undefined && witness.lsn <= window.to) {
    const timeline = timelineOfSegment(way.path, segmentEndingAt(witness.lsn, way.segmentSize));
    if (timeline === witness.timeline) instants.push(microsOf(witness.at));
  }
  return instants.reduce((newest, each) => (each > newest ? each : newest), 0n);
}
