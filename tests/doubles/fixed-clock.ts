import type { Clock } from '../../src/system/clock.ts';

/** A clock that stands still until it is moved. */
export interface FixedClock extends Clock {
  /** Moves it, back as well. */
  move(milliseconds: number): void;
  set(to: Date): void;
}

/** Makes a clock that says this instant. */
export function fixedClock(at: Date): FixedClock {
  let now = at.getTime();
  return {
    now: () => new Date(now),
    move: (milliseconds) => {
      now += milliseconds;
    },
    set: (to) => {
      now = to.getTime();
    },
  };
}
