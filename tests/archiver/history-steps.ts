import fc from 'fast-check';
import { walSteps } from '../../src/archiver/wal-steps.ts';
import type { Mishap } from './history-destination.ts';
import type { HistorySpare } from './history-restore.ts';
import type { HistoryWorld } from './history-world.ts';

/** One thing that happens in a history; where a machine is named that is not there, the first is meant. */
export type HistoryStep = { readonly machine: number } & (
  | { readonly is: 'write'; readonly count: number; readonly recycles: boolean }
  | { readonly is: 'round'; readonly who: number; readonly mishap: Mishap | undefined }
  | {
      readonly is: 'call';
      readonly more: number;
      readonly mishap: Mishap | undefined;
      readonly crashes: boolean;
      readonly asksFront: boolean;
    }
  | { readonly is: 'end archiver'; readonly who: number; readonly leaves: boolean }
  | { readonly is: 'restore'; readonly which: number; readonly planned: boolean; readonly mishap: Mishap | undefined }
  | { readonly is: 'fail over' | 'restore in place'; readonly behind: number }
  | { readonly is: 'power cut'; readonly forgets: number; readonly bits: number }
  | { readonly is: 'clock jump'; readonly seconds: number }
  | { readonly is: 'prune'; readonly count: number }
  | {
      readonly is:
        'label' | 'checkpoint' | 'promote' | 'lose spool' | 'save spool' | 'put back spool' | 'settings' | 'set back';
    }
);

const small = fc.integer({ min: 1, max: 5 });
const act = fc.nat({ max: 359 });
const call = fc.constantFrom('put', 'get', 'get', 'folders', 'list');
const afterBytes = fc.nat({ max: 600 });
/** Those that come seldom more often. */
const seldom = ['forgotten', 'forgotten', 'forgotten', 'half acknowledged', 'spool folder made'] as const;
const step = fc.constantFrom(...walSteps, ...seldom);
const time = fc.constantFrom(1, 1, 1, 2, 3);
const isPut = fc.boolean();

const mishap: fc.Arbitrary<Mishap | undefined> = fc.option(
  fc.oneof(
    fc.record({
      is: fc.constant('fault' as const),
      fault: fc.oneof(
        fc.record({ on: call, nth: small, do: fc.constantFrom('fail-before', 'fail-after') }),
        fc.record({ on: fc.constant('get'), nth: small, do: fc.constantFrom('truncate', 'break'), afterBytes }),
        fc.record({ on: fc.constant('put'), nth: small, do: fc.constant('break'), afterBytes }),
      ),
    }),
    fc.record({ is: fc.constant('outage' as const), kind: fc.constantFrom('unavailable', 'refused') }),
    fc.record({ is: fc.constant('death' as const), nth: small, put: isPut, when: fc.constantFrom('before', 'after') }),
    {
      weight: 4,
      arbitrary: fc.record({ is: fc.constant('death at' as const), step, nth: time }),
    },
    { weight: 2, arbitrary: fc.record({ is: fc.constant('meanwhile' as const), nth: small, put: isPut, act }) },
    {
      weight: 2,
      arbitrary: fc.record({
        is: fc.constant('meanwhile at' as const),
        step,
        nth: time,
        act,
      }),
    },
  ),
  { nil: undefined, freq: 3 },
);

/** What befalls who only reads. */
const reading: fc.Arbitrary<Mishap | undefined> = fc.option(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        is: fc.constant('fault' as const),
        fault: fc.oneof(
          fc.record({ on: fc.constant('get'), nth: small, do: fc.constantFrom('fail-before', 'fail-after') }),
          fc.record({ on: fc.constant('get'), nth: small, do: fc.constantFrom('truncate', 'break'), afterBytes }),
          fc.record({ on: fc.constant('folders'), nth: small, do: fc.constantFrom('fail-before', 'fail-after') }),
        ),
      }),
    },
    fc.record({ is: fc.constant('outage' as const), kind: fc.constantFrom('unavailable', 'refused') }),
    fc.record({ is: fc.constant('meanwhile' as const), nth: small, put: fc.constant(false), act }),
  ),
  { nil: undefined, freq: 4 },
);

const machine = fc.constantFrom(0, 0, 1);
const behind = fc.nat({ max: 3 });
const bit = fc.boolean();

function of<const T extends string, M>(is: T, more: fc.Arbitrary<M>): fc.Arbitrary<{ machine: number; is: T } & M> {
  return fc.tuple(machine, more).map(([at, rest]) => ({ machine: at, is, ...rest }));
}

const nothing = fc.constant({});

/** One step, the common ones more often. */
const anyStep: fc.Arbitrary<HistoryStep> = fc.oneof(
  { weight: 8, arbitrary: of('write', fc.record({ count: fc.integer({ min: 1, max: 4 }), recycles: bit })) },
  { weight: 10, arbitrary: of('round', fc.record({ who: fc.constantFrom(0, 0, 0, 1), mishap })) },
  {
    weight: 12,
    arbitrary: of(
      'call',
      fc.record({
        mishap,
        more: fc.nat({ max: 3 }),
        crashes: fc.constantFrom(false, false, false, true),
        asksFront: fc.nat(99).map((n) => n === 0),
      }),
    ),
  },
  { weight: 6, arbitrary: of('restore', fc.record({ which: fc.nat(1000), planned: bit, mishap: reading })) },
  { weight: 2, arbitrary: of('end archiver', fc.record({ who: fc.constantFrom(0, 1), leaves: bit })) },
  { weight: 1, arbitrary: of('fail over', fc.record({ behind })) },
  { weight: 1, arbitrary: of('restore in place', fc.record({ behind })) },
  { weight: 2, arbitrary: of('power cut', fc.record({ forgets: fc.nat(2), bits: fc.nat() })) },
  { weight: 1, arbitrary: of('clock jump', fc.record({ seconds: fc.constantFrom(0, -86_400, 3600, 1e9) })) },
  { weight: 1, arbitrary: of('prune', fc.record({ count: fc.integer({ min: 1, max: 3 }) })) },
  { weight: 1, arbitrary: of('label', nothing) },
  { weight: 2, arbitrary: of('checkpoint', nothing) },
  { weight: 2, arbitrary: of('promote', nothing) },
  { weight: 1, arbitrary: of('lose spool', nothing) },
  { weight: 2, arbitrary: of('save spool', nothing) },
  { weight: 2, arbitrary: of('put back spool', nothing) },
  { weight: 1, arbitrary: of('settings', nothing) },
  { weight: 1, arbitrary: of('set back', nothing) },
);

/** Encryption costs most of the time where it is on. */
export const isEncrypted = fc.nat({ max: 4 }).map((of) => of === 4);

/** A history: it always begins with something to archive. */
export const anyHistory: fc.Arbitrary<readonly HistoryStep[]> = fc
  .array(anyStep, { minLength: 4, maxLength: 18, size: 'max' })
  .map((steps) => [{ machine: 0, is: 'write', count: 2, recycles: false }, ...steps]);

/** Takes one step. */
export async function take(world: HistoryWorld, spare: HistorySpare, what: HistoryStep): Promise<void> {
  const at = world.machines[what.machine] ?? world.machines[0];
  if (at === undefined) throw new Error('a history without machines');
  const { server } = at;
  switch (what.is) {
    case 'write':
      server.write(what.count, what.recycles);
      return;
    case 'round': {
      const program = world.program(at, what.mishap);
      await at.round(what.who, program);
      if (program.isDead) world.tally.add(`killed at: ${program.diedAt ?? 'a call'}`);
      return;
    }
    case 'call':
      await world.call(at, world.program(at, what.mishap), what);
      for (let more = what.more; more > 0; more -= 1) await world.call(at, world.program(at, undefined));
      return;
    case 'restore':
      await spare.askForAny(what.which, what.planned, what.mishap);
      return;
    case 'end archiver':
      at.endArchiver(what.who, what.leaves);
      return;
    case 'fail over':
      await world.failOver(what.behind);
      return;
    case 'restore in place':
      await world.restoreInPlace(at, what.behind);
      return;
    case 'power cut':
      at.cutPower(what.forgets, what.bits);
      return;
    case 'clock jump':
      server.shiftSeconds = what.seconds;
      return;
    case 'prune':
      world.prune(what.count);
      return;
    case 'label':
      server.writeLabel();
      return;
    case 'checkpoint':
      server.checkpoint();
      return;
    case 'promote':
      server.promote();
      return;
    case 'lose spool':
      at.loseSpool();
      return;
    case 'save spool':
      at.saveSpool();
      return;
    case 'put back spool':
      at.putBackSpool();
      return;
    case 'settings':
      at.writeSettings();
      return;
    case 'set back':
      server.setBack();
      return;
  }
}
