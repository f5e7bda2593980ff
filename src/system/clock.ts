/** Where programs ask for the time; tests give a fixed one. */
export interface Clock {
  now(): Date;
}

/** The machine's clock. */
export const machineClock: Clock = { now: () => new Date() };
