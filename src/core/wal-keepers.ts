import type { Incarnation } from './incarnation.ts';
import type { Lsn } from './lsn.ts';

/** An incarnation that may keep a file of a timeline for a lineage; its segments count where they begin before `before`. */
export interface Keeper {
  readonly incarnation: number;
  readonly before: Lsn | undefined;
}

/**
 * Where a lineage (`lineage()`: the incarnation first, then its ancestors) keeps the WAL of a timeline, child first.
 *
 * What an ancestor wrote after the lineage had left it belongs to another future: it is never among the answers.
 */
export function keepersOf(line: readonly Incarnation[], timeline: number): readonly Keeper[] {
  const keepers: Keeper[] = [];
  let bound: { readonly timeline: number; readonly lsn: Lsn } | undefined;
  for (const { number, owner } of line) {
    if (bound === undefined || timeline < bound.timeline) keepers.push({ incarnation: number, before: undefined });
    else if (timeline === bound.timeline) keepers.push({ incarnation: number, before: bound.lsn });
    const { parent } = owner;
    if (parent === null) break;
    // An ancestor that was left further back bounds what lies above it too.
    const isEarlier =
      bound === undefined ||
      parent.timeline < bound.timeline ||
      (parent.timeline === bound.timeline && parent.lsn < bound.lsn);
    if (isEarlier) bound = { timeline: parent.timeline, lsn: parent.lsn };
  }
  return keepers;
}

/** The incarnations that no other continues. */
export function newestOf(incarnations: readonly Incarnation[]): readonly Incarnation[] {
  const continued = new Set(incarnations.map(({ owner }) => owner.parent?.incarnation));
  return incarnations.filter(({ number }) => !continued.has(number));
}
