import { expect, test } from 'vitest';
import type { Incarnation } from '../../src/core/incarnation.ts';
import { keepersOf, newestOf } from '../../src/core/wal-keepers.ts';

function incarnation(number: number, parent: Incarnation['owner']['parent']): Incarnation {
  const owner = { ownerId: `owner-${number}`, model: 'm', application: 'a', unit: 'u', since: new Date(0), parent };
  return { number, owner: { format: 1, ...owner } };
}

const line = [
  incarnation(3, { incarnation: 2, timeline: 4, lsn: 0x400n }),
  incarnation(2, { incarnation: 1, timeline: 2, lsn: 0x200n }),
  incarnation(1, null),
];

test.for([
  [5, [[3, undefined]]],
  [
    4,
    [
      [3, undefined],
      [2, 0x400n],
    ],
  ],
  [
    3,
    [
      [3, undefined],
      [2, undefined],
    ],
  ],
  [
    2,
    [
      [3, undefined],
      [2, undefined],
      [1, 0x200n],
    ],
  ],
  [
    1,
    [
      [3, undefined],
      [2, undefined],
      [1, undefined],
    ],
  ],
] as const)('timeline %i is kept by the lineage only up to where each ancestor was left', ([timeline, expected]) => {
  expect(keepersOf(line, timeline).map(({ incarnation: number, before }) => [number, before])).toEqual(expected);
});

test('an ancestor that was left before its own child bounds what lies above it', () => {
  const early = [incarnation(3, { incarnation: 2, timeline: 1, lsn: 0x100n }), ...line.slice(1)];

  expect(keepersOf(early, 1)).toEqual([
    { incarnation: 3, before: undefined },
    { incarnation: 2, before: 0x100n },
    { incarnation: 1, before: 0x100n },
  ]);
});

test('the newest incarnations are those that none continues', () => {
  const sibling = incarnation(4, { incarnation: 1, timeline: 1, lsn: 0x10n });

  expect(newestOf([...line, sibling]).map(({ number }) => number)).toEqual([3, 4]);
});
