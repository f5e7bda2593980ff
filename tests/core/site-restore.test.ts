import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  hasWork,
  intentSchema,
  isFinished,
  isGivenUp,
  newestIntent,
  nextStep,
  progressSchema,
  siteStages,
  type Intent,
  type Progress,
  type SiteStage,
  type SiteView,
} from '../../src/core/site-restore.ts';

const units = [
  { unit: 'b/0', roles: ['postgresql' as const], files: null },
  { unit: 'b/1', roles: ['landscape' as const], files: null },
  { unit: 'b/2', roles: ['landscape' as const], files: null },
];

function intent(more: Partial<Intent> = {}): Intent {
  return {
    format: 1,
    sequence: 1,
    run: 1,
    kind: 'restore',
    planId: '0123456789abcdef',
    planner: 'b/0',
    attempt: 1,
    credentials: 'spare',
    identity: null,
    units,
    without: [],
    ended: false,
    at: new Date(0),
    ...more,
  };
}

function said(stage: SiteStage, state: Progress['state'], more: Partial<Progress> = {}): Progress {
  const failure = state === 'failed' ? { message: 'no', hint: null } : null;
  return { run: 1, kind: 'restore', attempt: 1, stage, state, failure, ...more };
}

function view(progress: Readonly<Record<string, Progress>>, more: Partial<SiteView> = {}): SiteView {
  return {
    intent: intent(),
    self: 'b/1',
    present: new Set(['b/0', 'b/1', 'b/2']),
    progress: new Map(Object.entries(progress)),
    ...more,
  };
}

describe('what a unit does next', () => {
  test('the first stage begins at once', () => {
    expect(nextStep(view({}))).toEqual({ is: 'begin', stage: 'check' });
  });

  test('the next stage waits until every unit has finished the one before', () => {
    const own = { 'b/1': said('check', 'finished') };
    expect(nextStep(view({ ...own, 'b/0': said('check', 'finished') }))).toEqual({
      is: 'waiting',
      stage: 'quiesce',
      for: ['b/2'],
    });
    expect(nextStep(view({ ...own, 'b/0': said('check', 'finished'), 'b/2': said('check', 'running') }))).toEqual({
      is: 'waiting',
      stage: 'quiesce',
      for: ['b/2'],
    });
    expect(nextStep(view({ ...own, 'b/0': said('quiesce', 'finished'), 'b/2': said('check', 'finished') }))).toEqual({
      is: 'begin',
      stage: 'quiesce',
    });
  });

  test('a unit that is no part of it does nothing', () => {
    expect(nextStep(view({}, { self: 'b/9' }))).toEqual({ is: 'not-mine' });
    expect(nextStep(view({}, { intent: intent({ without: ['b/1'] }) }))).toEqual({ is: 'not-mine' });
  });

  test('progress of an earlier run of the same plan means nothing', () => {
    const stale = { 'b/0': said('resume', 'finished'), 'b/1': said('resume', 'finished') };
    expect(nextStep(view(stale, { intent: intent({ run: 2 }) }))).toEqual({ is: 'begin', stage: 'check' });
  });

  test('an intent that is older than what this unit did last is waited out', () => {
    const later = { 'b/1': said('check', 'running', { run: 2 }) };
    expect(nextStep(view(later))).toEqual({ is: 'not-mine' });
  });

  test('a failure anywhere stops everybody until a new attempt answers it', () => {
    const failed = { 'b/0': said('database', 'failed'), 'b/1': said('database', 'finished') };
    expect(nextStep(view(failed))).toEqual({
      is: 'failed',
      stage: 'database',
      of: 'b/0',
      failure: { message: 'no', hint: null },
    });
    expect(nextStep(view(failed, { intent: intent({ attempt: 2 }), self: 'b/0' }))).toMatchObject({ is: 'waiting' });
    const all = { ...failed, 'b/1': said('quiesce', 'finished'), 'b/2': said('quiesce', 'finished') };
    expect(nextStep(view(all, { intent: intent({ attempt: 2 }), self: 'b/0' }))).toEqual({
      is: 'begin',
      stage: 'database',
    });
  });

  test('a unit that is lost before the database is touched stops the restore, later it may be left out', () => {
    const gone = { present: new Set(['b/0', 'b/1']) };
    const early = { 'b/0': said('quiesce', 'finished'), 'b/1': said('quiesce', 'finished') };
    expect(nextStep(view(early, gone))).toEqual({ is: 'lost', units: ['b/2'], mayLeaveOut: false });
    const late = { 'b/0': said('database', 'finished'), 'b/1': said('database', 'finished') };
    expect(nextStep(view(late, gone))).toEqual({ is: 'lost', units: ['b/2'], mayLeaveOut: true });
    expect(nextStep(view(late, { ...gone, intent: intent({ without: ['b/2'] }) }))).toEqual({
      is: 'begin',
      stage: 'files',
    });
  });

  test('giving up waits for the database, and for who is gone until a word leaves it out', () => {
    const abandon = intent({ kind: 'abandon', run: 2, sequence: 2 });
    const gone = new Set(['b/0', 'b/1']);
    const old = { 'b/0': said('database', 'running'), 'b/1': said('files', 'failed') };
    expect(nextStep(view(old, { intent: abandon, present: gone }))).toEqual({ is: 'begin', stage: 'abandon-database' });
    const own = { ...old, 'b/1': said('abandon-database', 'finished', { run: 2, kind: 'abandon' }) };
    expect(nextStep(view(own, { intent: abandon, present: gone }))).toEqual({
      is: 'lost',
      units: ['b/2'],
      mayLeaveOut: true,
    });
    const without = { ...abandon, without: ['b/2'] };
    expect(nextStep(view(own, { intent: without, present: gone }))).toMatchObject({ is: 'waiting', for: ['b/0'] });
  });

  test('who was left out while a restore is given up, and is there after all, is waited for and does its part', () => {
    const abandon = intent({ kind: 'abandon', run: 2, sequence: 2, without: ['b/0'], ended: true });
    const met = { 'b/1': said('abandon-database', 'finished', { run: 2, kind: 'abandon' }) };
    expect(nextStep(view(met, { intent: { ...abandon, ended: false } }))).toMatchObject({ is: 'waiting' });
    expect(nextStep(view({}, { intent: abandon, self: 'b/0' }))).toEqual({ is: 'begin', stage: 'abandon-database' });
    expect(isFinished({ intent: abandon, present: new Set(['b/0']), progress: new Map() })).toBe(false);
  });

  test('a restore that was given up without a unit, which fails to give back later, is not given up yet', () => {
    const abandon = intent({ kind: 'abandon', run: 2, sequence: 2, without: ['b/0'], ended: true });
    const done = said('abandon-files', 'finished', { run: 2, kind: 'abandon' });
    const failed = said('abandon-database', 'failed', { run: 2, kind: 'abandon' });
    expect(isGivenUp(view({ 'b/1': done, 'b/2': done }, { intent: abandon }))).toBe(true);
    expect(isGivenUp(view({ 'b/0': failed, 'b/1': done }, { intent: abandon }))).toBe(false);
    expect(isGivenUp(view({ 'b/1': done, 'b/2': done }, { intent: { ...abandon, ended: false } }))).toBe(false);
    expect(isGivenUp(view({}, { intent: { ...abandon, kind: 'restore' } }))).toBe(false);
  });

  test('without its planner a restore can only be given up, by anybody who is left', () => {
    const late = { 'b/1': said('files', 'finished'), 'b/2': said('files', 'finished') };
    const present = new Set(['b/1', 'b/2']);
    expect(nextStep(view(late, { present }))).toEqual({ is: 'lost', units: ['b/0'], mayLeaveOut: false });
    const newcomer = { self: 'b/9', present: new Set(['b/9']) };
    expect(nextStep(view({}, newcomer))).toMatchObject({ is: 'lost', units: ['b/0', 'b/1', 'b/2'] });
  });

  test('what has ended is done, whoever has gone since', () => {
    expect(nextStep(view({}, { intent: intent({ ended: true }), present: new Set(['b/1']) }))).toEqual({ is: 'done' });
  });
});

test('intent and progress come back from a databag as they were', () => {
  const text = JSON.stringify(intentSchema.encode(intent()));
  expect(intentSchema.parse(JSON.parse(text))).toEqual(intent());
  expect(progressSchema.parse(progressSchema.encode(said('files', 'failed')))).toEqual(said('files', 'failed'));
});

test('a stage without work on a unit is finished there at once', () => {
  expect(siteStages.restore.filter((stage) => hasWork(stage, ['postgresql']))).toEqual(['check', 'database']);
  expect(siteStages.restore.filter((stage) => hasWork(stage, ['landscape']))).toEqual([
    'check',
    'quiesce',
    'files',
    'verify',
    'resume',
  ]);
});

test('the newest intent counts, and of two with one number the one that the leader copied', () => {
  const copied = intent({ planId: 'a' });
  expect(newestIntent(copied, [intent({ planId: 'b' })])).toBe(copied);
  expect(newestIntent(copied, [intent({ planId: 'b', sequence: 2 })])?.planId).toBe('b');
  expect(newestIntent(undefined, [])).toBeUndefined();
});

/** Units that read each other's bags late, fail, die between work and word, and are asked to go on: one random story. */
function tell(
  choices: readonly number[],
  kind: Intent['kind'],
): { readonly broken: string | undefined; readonly over: boolean } {
  let at = 0;
  const pick = (below: number) => (choices[at++ % choices.length] ?? 0) % below;
  const stages: readonly SiteStage[] = siteStages[kind];
  const names = units.map(({ unit }) => unit);
  const bags = new Map<string, Progress>();
  const seen = new Map(names.map((name) => [name, new Map<string, Progress>()]));
  const reallyFinished = new Map(names.map((name) => [name, 0]));
  let now = intent({ kind });
  const present = new Set(names);
  for (let turn = 0; turn < 400; turn += 1) {
    const self = names[pick(3)] ?? 'b/0';
    const mine = seen.get(self) ?? new Map<string, Progress>();
    // A unit sees its own bag as it is; the others' as old as chance wants.
    for (const other of names) {
      const bag = bags.get(other);
      if (bag !== undefined && (other === self || pick(3) > 0)) mine.set(other, bag);
    }
    const step = nextStep({ intent: now, self, present, progress: mine });
    if (step.is === 'begin') {
      const index = stages.indexOf(step.stage);
      const early = names.find((name) => (reallyFinished.get(name) ?? 0) < index);
      if (early !== undefined) return { broken: `${self} begins ${step.stage} before ${early} is ready`, over: false };
      const common = { run: now.run, kind, attempt: now.attempt, stage: step.stage, failure: null };
      // 0: killed before the work and before the word; 1: after the work; 2: it fails; else it works.
      const fate = pick(6);
      if (fate === 0) continue;
      if (fate === 2) bags.set(self, { ...common, state: 'failed', failure: { message: 'no', hint: null } });
      else {
        reallyFinished.set(self, Math.max(reallyFinished.get(self) ?? 0, index + 1));
        if (fate !== 1) bags.set(self, { ...common, state: 'finished' });
      }
    }
    if (step.is === 'failed' && pick(2) === 0) now = { ...now, attempt: now.attempt + 1, sequence: now.sequence + 1 };
    if (isFinished({ intent: now, present, progress: bags })) return { broken: undefined, over: true };
  }
  return { broken: undefined, over: false };
}

test.each(['restore', 'abandon'] as const)(
  '10,000 random stories of a %s: nobody is early, and all come to an end',
  (kind) => {
    let over = 0;
    const seed = Date.now();
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 30, maxLength: 120 }), (choices) => {
        const story = tell(choices, kind);
        over += story.over ? 1 : 0;
        return story.broken === undefined;
      }),
      { numRuns: 10_000, seed, verbose: 1 },
    );
    expect(over, `seed ${seed}`).toBeGreaterThan(3000);
  },
);
