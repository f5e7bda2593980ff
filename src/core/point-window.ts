import type { ClusterCatalogue, IncarnationCatalogue } from './catalogue.ts';
import type { Lsn } from './lsn.ts';
import { provenMicros } from './proven-end.ts';
import { timelinesOf } from './timelines-of.ts';
import { wayTo, windowsOn, type Gap, type Way, type Window } from './restorable.ts';

/** A stretch of time on one timeline in which every second can be restored. */
export interface PointWindow {
  readonly timeline: number;
  readonly from: { readonly lsn: Lsn; readonly at: Date };
  /** The newest that is proven; later seconds become restorable as their WAL arrives. */
  readonly to: { readonly lsn: Lsn; readonly at: Date };
  /** The backups from which it is reached, oldest first. */
  readonly backups: readonly string[];
  /** What is missing behind it, where something later is stored. */
  readonly gap: Gap | undefined;
}

/** The windows of an incarnation, timeline by timeline, oldest first: backups whose WAL ends at the same place share one. */
export function pointWindows(cluster: ClusterCatalogue, incarnation: IncarnationCatalogue): readonly PointWindow[] {
  return timelinesOf(incarnation).flatMap((timeline) => {
    const way = wayTo(cluster, incarnation.number, timeline);
    if (way === undefined) return [];
    const joined = new Map<Lsn, Window[]>();
    for (const window of windowsOn(cluster, way)) joined.set(window.to, [...(joined.get(window.to) ?? []), window]);
    return [...joined.values()].flatMap((windows) => join(cluster, way, windows));
  });
}

function join(cluster: ClusterCatalogue, way: Way, windows: readonly Window[]): readonly PointWindow[] {
  const [first] = windows;
  if (first === undefined) return [];
  const proven = new Date(Number(provenMicros(cluster, way, first, undefined) / 1000n));
  const from = first.backup.stoppedAt;
  return [
    {
      timeline: way.timeline,
      from: { lsn: first.from, at: from },
      to: { lsn: first.to, at: proven > from ? proven : from },
      backups: windows.map(({ backup }) => backup.id),
      gap: first.gap,
    },
  ];
}
