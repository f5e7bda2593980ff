import type { IncarnationCatalogue } from './catalogue.ts';

/** The timelines that an incarnation itself has anything of, oldest first. */
export function timelinesOf(incarnation: IncarnationCatalogue): readonly number[] {
  const known = new Set<number>();
  for (const { timeline, runs, parts, hasHistory } of incarnation.wal.timelines.values()) {
    if (runs.length + parts.length > 0 || hasHistory) known.add(timeline);
  }
  for (const { timeline } of incarnation.backups) known.add(timeline);
  return [...known].sort((a, b) => a - b);
}
