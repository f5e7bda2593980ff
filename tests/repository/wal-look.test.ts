import * as fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { wholeLogs, type WalIndex, type WholeLogs } from '../../src/core/wal-index.ts';
import { historyName, partName, segmentName, segmentNamed, timelineName } from '../../src/core/wal-name.ts';
import { layout, walKey, type Place } from '../../src/repository/layout.ts';
import { openRepository, type Repository } from '../../src/repository/repository.ts';
import { listedBeside, listedWal } from '../../src/repository/wal-look.ts';
import { countingStorage, ListingCount } from '../doubles/counting-storage.ts';
import { largeSegments as size, segmentKeys } from '../setup/stored-wal.ts';
import { memoryRepository, type MemoryRepository } from './memory-repository.ts';

const place: Place = { systemIdentifier: '7000000000000000001', incarnation: 1 };
const nothing = new Uint8Array();

let memory: MemoryRepository;

beforeEach(async () => {
  memory = await memoryRepository();
});

const keys = (timeline: number, first: number, last: number) => segmentKeys(place, timeline, [first, last], size);
const store = (...names: readonly string[]) => {
  for (const key of names) memory.objects.set(key, nothing);
};
const remove = (...names: readonly string[]) => {
  for (const key of names) memory.objects.delete(key);
};
const all = async () => await listedWal(memory.repository, place, size);

test('of logs that were whole only the first of each row is listed again', async () => {
  store(...keys(1, 1, 401), ...keys(1, 440, 803), ...keys(2, 801, 850), walKey(place, historyName(2)));
  const whole = wholeLogs(await all());
  expect(whole).toEqual([
    { timeline: 1, first: 1, last: 99 },
    { timeline: 1, first: 110, last: 200 },
    { timeline: 2, first: 201, last: 211 },
  ]);
  const count = new ListingCount();
  const counted = await openRepository(countingStorage(memory.repository.storage, count), undefined);

  const index = await listedBeside(counted, place, size, whole);

  expect(index).toEqual(await all());
  const folder = (timeline: number, ...logs: readonly number[]) => {
    const above = `${layout.wal(place)}${timelineName(timeline)}/`;
    return [above, ...logs.map((log) => `${above}${timelineName(log)}/`)];
  };
  expect(count.requests).toEqual([
    layout.wal(place),
    ...folder(1, 0, 1, 100, 110),
    ...folder(2, 200, 201, 212),
    `${layout.wal(place)}${timelineName(2)}/history/`,
  ]);
});

test.each([
  ['a log that is gone from the middle', () => remove(...keys(1, 20, 23))],
  ['a timeline that is gone', () => remove(...keys(1, 0, 42))],
  ['the first log of a row that is not whole any more', () => remove(...keys(1, 0, 0))],
  ['a folder in a log', () => store(`${layout.wal(place)}00000001/0000000A/copy/000000010000000A00000003.zst`)],
  ['a folder that is no timeline', () => store(`${layout.wal(place)}old/000000010000000A00000003.zst`)],
  ['a folder that is no log', () => store(`${layout.wal(place)}00000001/old/000000010000000A00000003.zst`)],
  ['a file beside the logs', () => store(`${layout.wal(place)}00000001/000000010000000A00000003.zst`)],
])('%s does not fit, so all has to be listed', async (_, change) => {
  store(...keys(1, 0, 42));
  const whole = wholeLogs(await all());
  expect(await listedBeside(memory.repository, place, size, whole)).toEqual(await all());
  change();
  expect(await listedBeside(memory.repository, place, size, whole)).toBeUndefined();
});

test('an answer that is an error is no answer', async () => {
  store(...keys(1, 0, 42));
  const whole = wholeLogs(await all());
  for (const nth of [1, 2, 3, 4]) {
    const faulty = await memory.open({ on: 'folders', key: /\/wal\//, nth, do: 'fail-before' });
    await expect(listedBeside(faulty, place, size, whole)).rejects.toMatchObject({ kind: 'unavailable' });
  }
});

/** What can happen to a repository between two looks. */
const event = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constant('row'), fc.nat(2), fc.nat(40), fc.nat(20)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('segment'), fc.nat(2), fc.nat(60), fc.nat(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom('history', 'partial', 'backup'), fc.nat(2), fc.nat(60), fc.nat(0)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('part'), fc.nat(2), fc.nat(60), fc.integer({ min: 1, max: 3 })) },
  // Below a segment, from elsewhere: nobody here hears of it.
  { weight: 1, arbitrary: fc.tuple(fc.constant('prune elsewhere'), fc.nat(2), fc.nat(40), fc.nat(0)) },
  // Anything, with what is known forgotten before.
  { weight: 1, arbitrary: fc.tuple(fc.constant('own prune'), fc.nat(2), fc.nat(60), fc.nat(20)) },
  // Out of the middle, from elsewhere: this may pass for stored until all is listed.
  { weight: 1, arbitrary: fc.tuple(fc.constant('theft'), fc.nat(2), fc.nat(60), fc.nat(3)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('hour'), fc.nat(0), fc.nat(0), fc.nat(0)) },
);

/**
 * Plays an event; says whether what is known is forgotten by it, and whether what it took may pass for stored. What was pruned
 * from elsewhere does not come again: `floors` holds from where on it may, by timeline.
 */
function play(
  [what, timelineAt, at, more]: readonly [string, number, number, number],
  floors: Map<number, number>,
): 'forget' | 'unnoticed' | 'told' {
  const timeline = timelineAt + 1;
  const floor = floors.get(timeline) ?? 0;
  const file = (name: string) => `${layout.walFolder(place, segmentNamed(timeline, at, size))}${name}.zst`;
  if (what === 'row' || what === 'segment') store(...keys(timeline, Math.max(floor, at), Math.max(floor, at + more)));
  if (what === 'history') store(walKey(place, historyName(timeline)));
  if (what === 'partial') store(file(`${segmentName(timeline, at, size)}.partial`));
  if (what === 'backup') store(file(`${segmentName(timeline, at, size)}.00000028.backup`));
  if (what === 'part') store(file(partName(segmentNamed(timeline, at, size), more)));
  if (what === 'prune elsewhere') {
    remove(...keys(timeline, 0, at));
    floors.set(timeline, Math.max(floor, at + 1));
  }
  if (what === 'own prune' || what === 'theft') remove(...keys(timeline, at, at + more));
  return what === 'own prune' || what === 'hour' ? 'forget' : what === 'theft' ? 'unnoticed' : 'told';
}

/** Without what nobody asks for: the beginnings of segments that are stored whole. */
function asked({ timelines, strangers }: WalIndex) {
  return {
    strangers,
    timelines: [...timelines.values()].map(({ timeline, runs, parts, partials, hasHistory }) => {
      const isOpen = (segment: number) => !runs.some(({ first, last }) => segment >= first && segment <= last);
      return {
        timeline,
        runs,
        hasHistory,
        parts: parts.filter(({ segment }) => isOpen(segment)),
        partials: partials.filter(isOpen),
      };
    }),
  };
}

function segmentsOf({ timelines }: WalIndex): ReadonlySet<string> {
  return new Set(
    [...timelines.values()].flatMap(({ timeline, runs }) =>
      runs.flatMap(({ first, last }) => keys(timeline, first, last)),
    ),
  );
}

async function look(repository: Repository, known: readonly WholeLogs[]): Promise<WalIndex> {
  return (
    (known.length === 0 ? undefined : await listedBeside(repository, place, size, known)) ??
    (await listedWal(repository, place, size))
  );
}

test('whatever happens in between, each look says what a listing of all says; only what was stolen may pass for stored until all is listed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(event, { maxLength: 4 }), { maxLength: 12 }), async (rounds) => {
      memory = await memoryRepository();
      let known: readonly WholeLogs[] = [];
      let isCertain = true;
      const floors = new Map<number, number>();
      for (const events of rounds) {
        for (const each of events) {
          const effect = play(each, floors);
          if (effect === 'forget') [known, isCertain] = [[], true];
          if (effect === 'unnoticed' && known.length > 0) isCertain = false;
        }
        const [told, truth] = [await look(memory.repository, known), await all()];
        known = wholeLogs(told);
        if (isCertain) expect(asked(told)).toEqual(asked(truth));
        // Nothing is ever missing in it that is stored.
        else expect([...segmentsOf(truth)].filter((key) => !segmentsOf(told).has(key))).toEqual([]);
      }
    }),
    { numRuns: 300 },
  );
});
