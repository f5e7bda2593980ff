import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../core/failure.ts';
import { parseWalName, segmentName } from '../core/wal-name.ts';
import { layout, type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { walNamesIn } from '../repository/wal-store.ts';

/** A stretch of one timeline in segment numbers, both ends included. */
export interface WantedSegments {
  readonly timeline: number;
  readonly first: number;
  readonly last: number;
  readonly segmentSize: number;
}

/** How long the wait for WAL lasts and what counts as a sign of life. */
export interface ArrivalWatch {
  /** Anything that changes while archiving goes on, such as a counter: it may be working off older segments first. */
  readonly activity: () => Promise<string>;
  /** Why nothing arrives, as far as PostgreSQL tells. */
  readonly explain: () => Promise<string>;
  /** Without a sign of life for so long the wait fails. */
  readonly stallMs: number;
  readonly signal: AbortSignal;
  readonly report: (missing: number) => void;
}

/** A segment usually takes a tenth of a second; who waits for minutes need not ask ten times a second. */
const firstPollMs = 50;
const slowestPollMs = 1000;

/** The segments of a stretch that positively are not stored. */
export async function missingSegments(
  repository: Repository,
  place: Place,
  wanted: WantedSegments,
): Promise<readonly string[]> {
  const missing: string[] = [];
  const folders = new Map<string, ReadonlySet<string>>();
  for (let number = wanted.first; number <= wanted.last; number += 1) {
    const name = segmentName(wanted.timeline, number, wanted.segmentSize);
    const folder = layout.walFolder(place, parseWalName(name));
    const stored = folders.get(folder) ?? (await walNamesIn(repository, folder));
    folders.set(folder, stored);
    if (!stored.has(name)) missing.push(name);
  }
  return missing;
}

/** Waits until every segment of a stretch is stored. Fails with `unavailable` when nothing moves for too long. */
export async function awaitSegments(
  repository: Repository,
  place: Place,
  wanted: WantedSegments,
  watch: ArrivalWatch,
): Promise<void> {
  let seen = '';
  let movedAt = performance.now();
  let pollMs = firstPollMs;
  for (;;) {
    const missing = await missingSegments(repository, place, wanted);
    if (missing.length === 0) return;
    watch.report(missing.length);
    const state = `${missing.length} ${await watch.activity()}`;
    if (state !== seen) movedAt = performance.now();
    seen = state;
    if (performance.now() - movedAt > watch.stallMs) throw await stalled(missing, watch);
    pollMs = Math.min(pollMs * 1.3, slowestPollMs);
    await sleep(pollMs, undefined, { signal: watch.signal }).catch(() => {
      throw new Failure('machine', 'the backup was stopped');
    });
  }
}

async function stalled(missing: readonly string[], watch: ArrivalWatch): Promise<Failure> {
  const which = missing.length === 1 ? missing[0] : `${missing[0]} to ${missing.at(-1)} (${missing.length} in all)`;
  const minutes = Math.round(watch.stallMs / 6_000) / 10;
  return new Failure(
    'unavailable',
    `the WAL that this backup needs does not arrive: ${which} is not stored and nothing moved for ${minutes} minutes; ${await watch.explain()}`,
    {
      hint: 'The log of PostgreSQL holds what archive-wal said. Mend that (landscape-backup check helps), then take the backup again.',
    },
  );
}
