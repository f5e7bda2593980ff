import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseHistory, timelineOfSegment, timelinePath } from '../../src/core/timeline.ts';

const MiB = 2 ** 20;

test('a history file is read as PostgreSQL writes it', () => {
  const text =
    '1\t0/5000098\tno recovery target specified\n\n# a comment\n  3\t1/A0\tbefore 2026-11-24 00:00:00+00\r\n';

  expect(parseHistory(text, '00000004.history')).toEqual([
    { parent: 1, at: 0x500_0098n },
    { parent: 3, at: 0x1_0000_00a0n },
  ]);
  expect(parseHistory('', '00000001.history')).toEqual([]);
});

test.each([
  '1',
  'x\t0/1\ty',
  '0\t0/1\ty',
  '-1\t0/1',
  '1.5\t0/1',
  '0x1\t0/1',
  '1e0\t0/1',
  '1\tnowhere\ty',
  '2\t0/1\n1\t0/2',
  '1\t0/1\n1\t0/2',
  '\0\0\0',
])('the history %j is damaged, and its name is said', (text) => {
  expect(() => parseHistory(text, '00000004.history')).toThrow(
    expect.objectContaining({ kind: 'damaged', message: expect.stringContaining('00000004.history') }),
  );
});

test("the segment of a switch carries the child's name, one on a boundary begins with the child", () => {
  const path = timelinePath(
    3,
    [
      { parent: 1, at: BigInt(5 * MiB + 100) },
      { parent: 2, at: BigInt(9 * MiB) },
    ],
    MiB,
  );

  expect(path).toEqual([
    { timeline: 1, firstSegment: 0, lastSegment: 4, until: BigInt(5 * MiB + 100) },
    { timeline: 2, firstSegment: 5, lastSegment: 8, until: BigInt(9 * MiB) },
    { timeline: 3, firstSegment: 9, lastSegment: undefined, until: undefined },
  ]);
  expect([0, 4, 5, 8, 9, 1000].map((segment) => timelineOfSegment(path, segment))).toEqual([1, 1, 2, 2, 3, 3]);
});

test('a timeline that was left in the segment where it began has none of its own', () => {
  const path = timelinePath(
    3,
    [
      { parent: 1, at: BigInt(5 * MiB + 100) },
      { parent: 2, at: BigInt(5 * MiB + 900) },
    ],
    MiB,
  );

  expect(path.map(({ timeline, firstSegment }) => [timeline, firstSegment])).toEqual([
    [1, 0],
    [3, 5],
  ]);
});

test('any path covers every segment once, in order', () => {
  const jumps = fc.uniqueArray(fc.integer({ min: 1, max: 500 * MiB }), { maxLength: 6 });
  fc.assert(
    fc.property(jumps, (at) => {
      const history = at.toSorted((a, b) => a - b).map((lsn, index) => ({ parent: index + 1, at: BigInt(lsn) }));
      const path = timelinePath(history.length + 1, history, MiB);

      expect(path[0]?.firstSegment).toBe(0);
      for (const [index, piece] of path.entries()) {
        const next = path[index + 1];
        expect(piece.lastSegment).toBe(next === undefined ? undefined : next.firstSegment - 1);
      }
      expect(path.at(-1)?.timeline).toBe(history.length + 1);
    }),
  );
});
