import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hasLater, indexWal, runWith, toRuns } from '../../src/core/wal-index.ts';
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
      const runs = toRuns(segments);

      const held = runs.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, at) => first + at));
      expect(held).toEqual([...new Set(segments)].toSorted((a, b) => a - b));
      for (const [at, run] of runs.entries()) expect(run.first).toBeGreaterThan((runs[at - 1]?.last ?? -2) + 1);
      const names = segments.map((segment) => segmentName(1, segment, 2 ** 20));
      expect(indexWal(names, 2 ** 20).timelines.get(1)?.runs ?? []).toEqual(runs);
    }),
  );
});
