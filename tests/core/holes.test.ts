import { expect, test } from 'vitest';
import { findLost } from '../../src/core/holes.ts';
import type { Way } from '../../src/core/restorable.ts';
import type { LocalWal } from '../../src/core/wal-line.ts';
import { timelinePath } from '../../src/core/timeline.ts';
import { segmentName } from '../../src/core/wal-name.ts';

const size = 1024 * 1024;
const history = [{ parent: 1, at: BigInt(size) * 4n + 100n }];

function way(stretches: readonly (readonly [number, number, number])[]): Way {
  return {
    incarnation: 1,
    parts: [],
    timeline: 2,
    segmentSize: size,
    path: timelinePath(2, history, size),
    history,
    stretches: stretches.map(([timeline, first, last]) => ({ incarnation: 1, timeline, first, last })),
  };
}

const local = (...waiting: readonly number[]): LocalWal =>
  new Map(waiting.map((segment) => [segmentName(2, segment, size), 'waits'] as const));

test.each([
  [
    'all is stored up to the current one',
    way([
      [1, 2, 3],
      [2, 4, 8],
    ]),
    local(9),
    [],
  ],
  [
    'the newest still wait',
    way([
      [1, 2, 3],
      [2, 4, 6],
    ]),
    local(7, 8, 9),
    [],
  ],
  [
    'a gap in the middle that was recycled',
    way([
      [1, 2, 3],
      [2, 4, 5],
      [2, 8, 8],
    ]),
    local(9),
    [{ timeline: 2, first: 6, last: 7 }],
  ],
  [
    'a gap whose last segment still waits',
    way([
      [1, 2, 3],
      [2, 4, 5],
      [2, 8, 8],
    ]),
    local(7, 9),
    [{ timeline: 2, first: 6, last: 6 }],
  ],
  [
    'nothing stored since, and recycled',
    way([
      [1, 2, 3],
      [2, 4, 4],
    ]),
    local(9),
    [{ timeline: 2, first: 5, last: 8 }],
  ],
  [
    'a gap across a switch is told per timeline',
    way([
      [1, 2, 2],
      [2, 5, 8],
    ]),
    local(9),
    [
      { timeline: 1, first: 3, last: 3 },
      { timeline: 2, first: 4, last: 4 },
    ],
  ],
  [
    'marked as archived and not stored',
    way([
      [1, 2, 3],
      [2, 4, 7],
    ]),
    new Map([[segmentName(2, 8, size), 'done' as const]]),
    [{ timeline: 2, first: 8, last: 8 }],
  ],
])('%s', (_, given, files, expected) => {
  expect(findLost(given, files, 2, 9)).toEqual(expected);
});
