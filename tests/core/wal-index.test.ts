import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hasLater, indexWal, joinRuns, runWith, wholeLogs } from '../../src/core/wal-index.ts';
import { segmentName } from '../../src/core/wal-name.ts';

test('names in any order become runs per timeline, partials, histories and strangers', () => {
  const names = [
    '000000010000000000000005',
    '000000010000000000000003',
    '000000010000000000000004',
    '000000010000000000000008',
    '000000020000000000000008',
    '000000010000000000000008.partial',
    '00000002.history',
    '000000010000000000000003.00000028.backup',
    '000000010000000000000100',
    'lost',
  ];

  const index = indexWal(names.toReversed(), 2 ** 24);

  expect(index).toEqual(indexWal(names, 2 ** 24));
  expect([...index.timelines.values()]).toEqual([
    {
      timeline: 1,
      runs: [
        { first: 3, last: 5 },
        { first: 8, last: 8 },
      ],
      partials: [8],
      parts: [],
      hasHistory: false,
    },
    { timeline: 2, runs: [{ first: 8, last: 8 }], partials: [], parts: [], hasHistory: true },
  ]);
  expect(index.strangers).toEqual(['000000010000000000000100', 'lost']);
  const one = index.timelines.get(1);
  expect([runWith(one, 4), runWith(one, 6), runWith(undefined, 4)]).toEqual([
    { first: 3, last: 5 },
    undefined,
    undefined,
  ]);
  expect([hasLater(one, 7), hasLater(one, 8), hasLater(undefined, 0)]).toEqual([true, false, false]);
});

test('runs hold exactly the segments that were given, with a gap between each and the next', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 60 })), (segments) => {
      const runs = joinRuns(segments.map((segment) => ({ first: segment, last: segment })));

      const held = runs.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, at) => first + at));
      expect(held).toEqual([...new Set(segments)].toSorted((a, b) => a - b));
      for (const [at, run] of runs.entries()) expect(run.first).toBeGreaterThan((runs[at - 1]?.last ?? -2) + 1);
      const names = segments.map((segment) => segmentName(1, segment, 2 ** 20));
      expect(indexWal(names, 2 ** 20).timelines.get(1)?.runs ?? []).toEqual(runs);
    }),
  );
});

test('a log is whole when all its segments are stored, and nothing else lies in it that an index tells of', () => {
  const size = 2 ** 30; // Four segments a log.
  const names = (timeline: number, first: number, last: number) =>
    Array.from({ length: last - first + 1 }, (_, at) => segmentName(timeline, first + at, size));
  const stored = [...names(1, 2, 22), ...names(2, 16, 18), ...names(2, 24, 31)];
  const logs = (more: readonly string[]) => wholeLogs(indexWal([...stored, ...more], size));

  expect(logs([])).toEqual([
    { timeline: 1, first: 1, last: 4 },
    { timeline: 2, first: 6, last: 7 },
  ]);
  expect(logs([`${segmentName(1, 9, size)}.00000028.backup`, '00000002.history'])).toEqual(logs([]));
  expect(logs([`${segmentName(1, 9, size)}.partial`, `${segmentName(2, 31, size)}.00001000.part`])).toEqual([
    { timeline: 1, first: 1, last: 1 },
    { timeline: 1, first: 3, last: 4 },
    { timeline: 2, first: 6, last: 6 },
  ]);
  expect(logs(['lost'])).toEqual([]);
});

test('an index is the same from all names, and from whole logs and the names that lie in no such log', () => {
  const size = 2 ** 30;
  const segment = fc.record({ timeline: fc.integer({ min: 1, max: 2 }), number: fc.integer({ min: 0, max: 30 }) });
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 100 }), fc.array(segment, { maxLength: 3 }), (stored, partials) => {
      const all = [
        ...stored.map(({ timeline, number }) => segmentName(timeline, number, size)),
        ...partials.map(({ timeline, number }) => `${segmentName(timeline, number, size)}.partial`),
      ];
      const index = indexWal(all, size);
      const whole = wholeLogs(index);
      const isOutside = (name: string) =>
        !whole.some(
          ({ timeline, first, last }) =>
            Number.parseInt(name.slice(0, 8), 16) === timeline &&
            Number.parseInt(name.slice(8, 16), 16) >= first &&
            Number.parseInt(name.slice(8, 16), 16) <= last,
        );
      expect(indexWal(all.filter(isOutside), size, whole)).toEqual(index);
    }),
  );
});
