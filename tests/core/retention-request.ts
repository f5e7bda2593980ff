import type { IncarnationCatalogue } from '../../src/core/catalogue.ts';
import { planRetention } from '../../src/core/retention.ts';
import type { RetentionPlan, RetentionRequest } from '../../src/core/retention-plan.ts';
import { backup, incarnation, now } from './catalogue-builder.ts';

/** Plans for one or more incarnations, with agreeing clocks and without a schedule unless told otherwise. */
export function plan(
  incarnations: IncarnationCatalogue | readonly IncarnationCatalogue[],
  policy: { readonly count: number; readonly days: number },
  more: Partial<RetentionRequest> = {},
): RetentionPlan {
  const list = 'number' in incarnations ? [incarnations] : incarnations;
  return planRetention({
    incarnations: list,
    current: { incarnation: Math.max(...list.map(({ number }) => number)), timeline: 1 },
    policy,
    clocks: { host: now, server: now, destination: now },
    scheduledAt: undefined,
    ...more,
  });
}

/** The start segments of backups in a list of a plan: built ids end with them. */
export function segmentsOf(list: readonly { readonly backup: { readonly id: string } }[]): readonly number[] {
  return list.map(({ backup }) => Number.parseInt(backup.id.slice(-6), 16));
}

/** What goes of the WAL, as `timeline:first-last`. */
export function walOf(list: RetentionPlan['wal']['delete']): readonly string[] {
  return list.map(({ timeline, first, last }) => `${timeline}:${first}-${last}`);
}

/** One backup per day at segments 10, 20, …: the oldest first; all WAL is stored. */
export function daily(days: number, more: Partial<Parameters<typeof incarnation>[0]> = {}) {
  const backups = Array.from({ length: days }, (_, place) =>
    backup({ daysAgo: days - 1 - place + 0.25, segment: (place + 1) * 10 }),
  );
  return incarnation({ backups, wal: { 1: [[0, days * 10 + 9]] }, ...more });
}
