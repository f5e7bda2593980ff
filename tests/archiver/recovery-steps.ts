import fc from 'fast-check';
import type { Mishap } from './history-destination.ts';
import { historySegmentSize } from './history-size.ts';
import type { RecoveryMishap } from './recovery-machine.ts';
import { partLengths, type Past, type PlanChoice } from './recovery-model.ts';
import { tooLittleRoom, type AskHow, type RecoveryWorld } from './recovery-world.ts';

/** One thing that happens in a history. */
export type RecoveryStep =
  | { readonly is: 'plan'; readonly choice: PlanChoice | 'again' | undefined; readonly patience: number }
  | {
      readonly is: 'prefetch';
      readonly limit: number;
      readonly fault: Mishap | undefined;
      readonly mishap: RecoveryMishap | undefined;
    }
  | { readonly is: 'kill' | 'stop' | 'lose spool' | 'save spool' | 'put back spool' | 'copies' | 'recycle' | 'release' }
  | { readonly is: 'pass'; readonly milliseconds: number }
  | { readonly is: 'ask'; readonly which: number; readonly times: number; readonly how: AskHow }
  | {
      readonly is: 'ask and die';
      readonly which: number;
      readonly when: number;
      readonly fault: Mishap | undefined;
      readonly nth: number;
    }
  | { readonly is: 'go back'; readonly by: number }
  | { readonly is: 'arrive' | 'vanish' | 'damage'; readonly which: number }
  | { readonly is: 'grow'; readonly which: number; readonly part: number }
  | { readonly is: 'power cut'; readonly bits: number }
  | { readonly is: 'own'; readonly incarnation: number; readonly isStandby: boolean }
  | { readonly is: 'away'; readonly isAway: boolean }
  | { readonly is: 'room'; readonly isFull: boolean };

const bit = fc.boolean();
const small = fc.integer({ min: 1, max: 8 });
const act = fc.nat({ max: 1000 });

/** Once in so many times. */
function seldom<T>(once: number, what: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: once - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: what });
}

const anyPast: fc.Arbitrary<Past> = fc.record({
  promotedAt: fc.integer({ min: 3, max: 7 }),
  leftAt: fc.integer({ min: 3, max: 7 }),
  leftAgain: fc.integer({ min: 4, max: 8 }),
  collides: bit,
  continuesSecond: bit,
  wrong: fc.nat({ max: 200 }),
});

const fault: fc.Arbitrary<Mishap | undefined> = seldom(
  3,
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        is: fc.constant('fault' as const),
        fault: fc.oneof(
          fc.record({ on: fc.constant('get'), nth: small, do: fc.constantFrom('fail-before', 'fail-after') }),
          fc.record({
            on: fc.constant('get'),
            nth: small,
            do: fc.constantFrom('truncate', 'break'),
            afterBytes: fc.nat({ max: 600 }),
          }),
          fc.record({
            on: fc.constantFrom('folders', 'list'),
            nth: small,
            do: fc.constantFrom('fail-before', 'fail-after'),
          }),
        ),
      }),
    },
    fc.record({ is: fc.constant('outage' as const), kind: fc.constantFrom('unavailable', 'refused') }),
  ),
);

const mishap: fc.Arbitrary<RecoveryMishap | undefined> = seldom(
  3,
  fc.record({
    at: fc.constantFrom('call', 'file'),
    nth: fc.oneof(small, fc.integer({ min: 1, max: 40 })),
    do: fc.constantFrom('die', 'die', 'stall', 'fill disk', 'act', 'act'),
    act,
  }),
);
/** Somebody waits for it, so it is not stalled. */
const ofCall = mishap.map((each) => (each?.do === 'stall' ? { ...each, do: 'act' as const } : each));

const choice: fc.Arbitrary<PlanChoice> = fc.record({
  of: fc.nat({ max: 3 }),
  start: fc.nat({ max: 3 }),
  short: fc.nat({ max: 2 }),
  part: fc.constantFrom(0, 0, 0, 1, 2, 3),
  withParents: bit,
  hole: fc.nat({ max: 9 }).map((of) => of === 0),
});

const plan: fc.Arbitrary<RecoveryStep> = fc.record({
  is: fc.constant('plan'),
  choice: fc.oneof({ weight: 6, arbitrary: choice }, fc.constant('again'), fc.constant(undefined)),
  patience: fc.constantFrom(0, 0, 3),
});

const prefetch: fc.Arbitrary<RecoveryStep> = fc.record({
  is: fc.constant('prefetch'),
  limit: fc.oneof(
    fc.integer({ min: 2, max: 6 }).map((of) => of * historySegmentSize),
    fc.integer({ min: 0, max: 4 * historySegmentSize }),
  ),
  // For one that goes on the destination is away for a while, and not for ever.
  fault: fault.map((each) => (each?.is === 'outage' ? undefined : each)),
  mishap,
});

const how: fc.Arbitrary<AskHow> = fc.record({
  fault,
  mishap: ofCall,
  crash: seldom(30, fc.constantFrom(0, 1, 127, 134, 137)),
  recycles: bit,
});

function only<const T extends RecoveryStep['is']>(is: T): fc.Arbitrary<{ readonly is: T }> {
  return fc.constant({ is });
}

const anyStep: fc.Arbitrary<RecoveryStep> = fc.oneof(
  { weight: 5, arbitrary: plan },
  { weight: 9, arbitrary: prefetch },
  {
    weight: 30,
    arbitrary: fc.record({
      is: fc.constant('ask'),
      which: fc.nat({ max: 999 }),
      times: fc.integer({ min: 1, max: 3 }),
      how,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      is: fc.constant('ask and die'),
      which: fc.nat({ max: 999 }),
      when: fc.nat(2),
      fault,
      nth: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ is: fc.constant('pass'), milliseconds: fc.constantFrom(100, 600, 11_000) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('go back'), by: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 4, arbitrary: fc.record({ is: fc.constant('arrive'), which: fc.nat({ max: 200 }) }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constantFrom('vanish', 'damage'), which: fc.nat({ max: 200 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      is: fc.constant('grow'),
      which: fc.nat({ max: 20 }),
      part: fc.constantFrom(...partLengths),
    }),
  },
  { weight: 2, arbitrary: only('kill') },
  { weight: 1, arbitrary: only('stop') },
  { weight: 1, arbitrary: only('lose spool') },
  { weight: 2, arbitrary: only('save spool') },
  { weight: 2, arbitrary: only('put back spool') },
  { weight: 1, arbitrary: only('copies') },
  { weight: 2, arbitrary: only('recycle') },
  { weight: 2, arbitrary: only('release') },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('power cut'), bits: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({ is: fc.constant('own'), incarnation: fc.integer({ min: 1, max: 3 }), isStandby: bit }),
  },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('away'), isAway: fc.constantFrom(true, false, false) }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('room'), isFull: bit }) },
);

/** What is stored when it begins, and what happens then. */
export interface RecoveryHistory {
  readonly past: Past;
  /** What comes later only, by the bits of a number. */
  readonly lacks: number;
  readonly steps: readonly RecoveryStep[];
}

/** A history: it always begins with a plan and a prefetcher. */
export const anyRecovery: fc.Arbitrary<RecoveryHistory> = fc.record({
  past: anyPast,
  lacks: fc.tuple(fc.nat(), fc.nat(), fc.nat()).map(([a, b, c]) => a & b & c & 0x3ff_ffff),
  steps: fc
    .tuple(plan, prefetch, fc.array(anyStep, { minLength: 4, maxLength: 14, size: 'max' }))
    .map(([first, second, more]) => [first, second, ...more]),
});

/** The names that recovery may ask for beside those of its path. */
const odd = [
  '00000001.history',
  '00000009.history',
  'RECOVERYXLOG',
  '000000010000000000000002.00000028.backup',
  '000000010000000000000FFF',
];

function nameFor(world: RecoveryWorld, which: number): string {
  if (which < 550) return world.next;
  if (which < 700) return world.names[which % world.names.length] ?? '';
  if (which < 750) return odd[which % odd.length] ?? '';
  const files = [...world.model.files.values()];
  return files[which % files.length]?.name ?? '';
}

/** Takes one step. */
export async function takeStep(world: RecoveryWorld, step: RecoveryStep): Promise<void> {
  switch (step.is) {
    case 'plan':
      await world.serve(step.choice, step.patience);
      return;
    case 'prefetch':
      await world.prefetch(step.limit, step.fault, step.mishap);
      return;
    case 'ask':
      await world.ask(nameFor(world, step.which), step.how);
      for (let more = step.times - 1; more > 0; more -= 1) {
        if (step.which % 2 === 0) {
          world.time.pass(100);
          await world.quiet();
        }
        await world.ask(world.next, {
          fault: undefined,
          mishap: undefined,
          crash: undefined,
          recycles: step.how.recycles,
        });
      }
      return;
    case 'ask and die':
      await world.askAndDie(nameFor(world, step.which), step.when, step.fault, step.nth);
      return;
    case 'pass':
      world.time.pass(step.milliseconds);
      return;
    case 'go back':
      world.goBack(step.by);
      return;
    case 'arrive':
      world.arrive(step.which);
      return;
    case 'vanish':
      world.vanish(step.which);
      return;
    case 'damage':
      world.damage(step.which);
      return;
    case 'grow':
      world.grow(step.which, step.part);
      return;
    case 'kill':
      world.killPrefetchers();
      return;
    case 'stop':
      await world.stopPrefetcher();
      return;
    case 'lose spool':
      world.loseSpool();
      return;
    case 'save spool':
      world.saveSpool();
      return;
    case 'put back spool':
      world.putBackSpool();
      return;
    case 'copies':
      world.copies();
      return;
    case 'recycle':
      world.recycle();
      return;
    case 'release':
      world.release();
      return;
    case 'power cut':
      world.cutPower(step.bits);
      return;
    case 'own':
      await world.own(step.incarnation);
      world.setStandby(step.isStandby);
      return;
    case 'away':
      world.isAway = step.isAway;
      return;
    case 'room':
      world.freeBytes = step.isFull ? tooLittleRoom : 2 * tooLittleRoom;
      return;
  }
}
