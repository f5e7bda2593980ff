import { Cron } from 'croner';
import type { Schedule } from './settings.ts';

/**
 * The last moment, up to and including `now`, at which a schedule wanted something; `undefined` when there was none yet.
 *
 * The zone is the schedule's own (`CRON_TZ`) or the host's. A time that a change to summer time skips comes due at the end of
 * the gap; one that a change back repeats comes due once, except for patterns that go by the minute or hour.
 */
export function lastScheduled(schedule: Schedule, now: Date, hostZone: string): Date | undefined {
  // The library looks at whole seconds and leaves out the one that begins where it is told to.
  const nextSecond = new Date((Math.floor(now.getTime() / 1000) + 1) * 1000);
  return cron(schedule, hostZone).previousRuns(1, nextSecond)[0];
}

/** The next moment after `now` at which a schedule wants something. */
export function nextScheduled(schedule: Schedule, now: Date, hostZone: string): Date | undefined {
  return cron(schedule, hostZone).nextRun(now) ?? undefined;
}

function cron({ expression, zone }: Schedule, hostZone: string): Cron {
  // Paused and without a function it only computes dates.
  return new Cron(expression, { paused: true, timezone: zone ?? hostZone });
}
