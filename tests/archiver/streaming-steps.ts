import fc from 'fast-check';
import type { Mishap } from './history-destination.ts';
import { historySegmentSize as size } from './history-size.ts';
import type { RecoveryMishap } from './recovery-machine.ts';
import type { Method, StreamingWorld } from './streaming-world.ts';

interface Trouble {
  readonly fault: Mishap | undefined;
  readonly mishap: RecoveryMishap | undefined;
}

/** One thing that happens in a history. */
export type StreamingStep =
  | { readonly is: 'write'; readonly count: number }
  | { readonly is: 'receive'; readonly count: number; readonly tells: boolean }
  | { readonly is: 'pass'; readonly milliseconds: number }
  | ({ readonly is: 'start' } & Trouble)
  | ({ readonly is: 'call' } & Trouble)
  | ({ readonly is: 'job'; readonly method: Method; readonly looksOnly: boolean } & Trouble)
  | { readonly is: 'kill' | 'stop' | 'checkpoint' | 'promote' | 'lose slot' | 'end receiver' | 'release' }
  | { readonly is: 'away'; readonly isAway: boolean };

/** Once in so many times. */
function seldom<T>(once: number, what: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: once - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: what });
}

const small = fc.integer({ min: 1, max: 6 });

const fault: fc.Arbitrary<Mishap | undefined> = seldom(
  2,
  fc.record({
    is: fc.constant('fault' as const),
    fault: fc.oneof(
      fc.record({
        on: fc.constantFrom('put', 'put', 'put', 'get', 'folders', 'remove'),
        nth: small,
        do: fc.constantFrom('fail-before', 'fail-after'),
      }),
      fc.record({
        on: fc.constantFrom('put', 'get'),
        nth: small,
        do: fc.constant('break'),
        afterBytes: fc.nat({ max: 400 }),
      }),
    ),
  }),
);

const mishap: fc.Arbitrary<RecoveryMishap | undefined> = seldom(
  2,
  fc.record({
    at: fc.constantFrom('call', 'file'),
    nth: fc.oneof(small, fc.integer({ min: 1, max: 60 })),
    do: fc.constantFrom('die', 'die', 'stall', 'fill disk', 'act', 'act'),
    act: fc.nat({ max: 10_000 }),
  }),
);
/** Somebody waits for it, so it is not stalled. */
const ofCall = mishap.map((each) => (each?.do === 'stall' ? { ...each, do: 'die' as const } : each));

const method = fc.constantFrom<Method>('stream', 'stream', 'archive');
const bytes = fc.oneof(fc.integer({ min: 64, max: size }), fc.integer({ min: 64, max: 4 * size }));

function only<const T extends StreamingStep['is']>(is: T): fc.Arbitrary<{ readonly is: T }> {
  return fc.constant({ is });
}

const start: fc.Arbitrary<StreamingStep> = fc.record({ is: fc.constant('start'), fault, mishap });

const anyStep: fc.Arbitrary<StreamingStep> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ is: fc.constant('write'), count: bytes }) },
  {
    weight: 10,
    arbitrary: fc.record({ is: fc.constant('receive'), count: bytes, tells: fc.constantFrom(true, true, false) }),
  },
  {
    weight: 10,
    arbitrary: fc.record({ is: fc.constant('pass'), milliseconds: fc.constantFrom(1000, 3000, 3000, 61_000) }),
  },
  { weight: 6, arbitrary: start },
  { weight: 4, arbitrary: fc.record({ is: fc.constant('call'), fault, mishap: ofCall }) },
  {
    weight: 6,
    arbitrary: fc.record({
      is: fc.constant('job'),
      method,
      looksOnly: fc.constantFrom(false, false, true),
      fault,
      mishap: ofCall,
    }),
  },
  { weight: 4, arbitrary: only('kill') },
  { weight: 1, arbitrary: only('stop') },
  { weight: 6, arbitrary: only('checkpoint') },
  { weight: 2, arbitrary: only('promote') },
  { weight: 1, arbitrary: only('lose slot') },
  { weight: 2, arbitrary: only('end receiver') },
  { weight: 2, arbitrary: only('release') },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('away'), isAway: fc.constantFrom(true, false, false) }) },
);

/** By which method it begins, and what happens then. */
export interface StreamingHistory {
  readonly method: Method;
  readonly steps: readonly StreamingStep[];
}

export const anyStreaming: fc.Arbitrary<StreamingHistory> = fc.record({
  method,
  steps: fc
    .tuple(start, fc.array(anyStep, { minLength: 6, maxLength: 24, size: 'max' }))
    .map(([first, more]) => [first, ...more]),
});

/** Takes one step. */
export async function takeStreamingStep(world: StreamingWorld, step: StreamingStep): Promise<void> {
  switch (step.is) {
    case 'write':
      world.server.write(step.count);
      return;
    case 'receive':
      world.receive(step.count, step.tells);
      return;
    case 'pass':
      world.time.pass(step.milliseconds);
      return;
    case 'start':
      world.kill();
      world.start(step.fault, step.mishap);
      return;
    case 'call':
      await world.call(step.fault, step.mishap);
      return;
    case 'job':
      await world.job(step.method, step.fault, step.mishap, step.looksOnly);
      return;
    case 'kill':
      world.kill();
      return;
    case 'stop':
      await world.stop();
      return;
    case 'checkpoint':
      world.server.checkpoint();
      return;
    case 'promote':
      world.server.promote();
      return;
    case 'lose slot':
      world.loseSlot();
      return;
    case 'end receiver':
      world.server.endReceiver('the server ended it');
      return;
    case 'release':
      world.release();
      return;
    case 'away':
      world.isAway = step.isAway;
      return;
  }
}
