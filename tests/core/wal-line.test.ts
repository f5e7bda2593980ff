import { expect, test } from 'vitest';
import type { Way } from '../../src/core/restorable.ts';
import { timelinePath } from '../../src/core/timeline.ts';
import { missingText, walLine, walLineText, walRuns, type LocalWal } from '../../src/core/wal-line.ts';
import { segmentName } from '../../src/core/wal-name.ts';

const size = 1024 * 1024;

function way(stored: readonly (readonly [number, number])[], part?: readonly [number, number]): Way {
  const place = { incarnation: 1, timeline: 1 };
  return {
    incarnation: 1,
    timeline: 1,
    segmentSize: size,
    path: timelinePath(1, [], size),
    history: [],
    stretches: stored.map(([first, last]) => ({ ...place, first, last })),
    parts: part === undefined ? [] : [{ ...place, first: part[0], last: part[0], part: part[1] }],
  };
}

const local = (...segments: readonly number[]): LocalWal =>
  new Map(segments.map((segment) => [segmentName(1, segment, size), 'waits'] as const));

test('what is stored is found, and the newest that the server still has are uploading', () => {
  expect(walRuns(way([[3, 9]]), local(10, 11), 4, 12)).toEqual([
    { is: 'found', timeline: 1, first: 4, last: 9 },
    { is: 'uploading', timeline: 1, first: 10, last: 11 },
  ]);
});

test('one of several that are pushed at once may be the last to arrive, and is not delayed yet', () => {
  const stored = way([
    [3, 4],
    [6, 13],
  ]);
  expect(walRuns(stored, local(5), 4, 14).map(({ is }) => is)).toEqual(['found', 'uploading', 'found']);
});

test('what is stored is told by its row, however long that is', () => {
  const [long, current] = [2 ** 40, 2 ** 39];
  expect(walRuns(way([[0, long]]), local(), 5, current)).toEqual([
    { is: 'found', timeline: 1, first: 5, last: current - 1 },
  ]);
});

test('what the server has and many later ones have overtaken is delayed, and what nobody has is lost', () => {
  const stored = way([
    [3, 4],
    [7, 20],
  ]);
  expect(walRuns(stored, local(5), 4, 21)).toEqual([
    { is: 'found', timeline: 1, first: 4, last: 4 },
    { is: 'delayed', timeline: 1, first: 5, last: 5 },
    { is: 'lost', timeline: 1, first: 6, last: 6 },
    { is: 'found', timeline: 1, first: 7, last: 20 },
  ]);
});

test('what PostgreSQL believes to be archived and is not stored is lost, though its file is still there', () => {
  const done: LocalWal = new Map([[segmentName(1, 5, size), 'done']]);
  expect(walRuns(way([[3, 4]]), done, 4, 6).at(-1)).toMatchObject({ is: 'lost', first: 5 });
});

test('a status counts them, names what is missing, and says how far the server is ahead of what is stored', () => {
  const stored = way(
    [
      [3, 4],
      [7, 20],
    ],
    [5, 4096],
  );
  const runs = walRuns(stored, local(5), 3, 22);
  const line = walLine(stored, runs, 3, BigInt(22 * size + 512));

  expect(line).toMatchObject({ found: 16, uploading: 0, delayed: 1, lost: 2, storedTo: '0/501000' });
  expect(line.behindBytes).toBe(17 * size + 512 - 4096);
  expect(line.missing.map(({ is, segments }) => [is, segments])).toEqual([
    ['delayed', 1],
    ['lost', 1],
    ['lost', 1],
  ]);
  expect(walLineText(line)).toBe(
    'WAL segments since the newest backup: 16 found, 1 delayed, 2 lost; all is stored up to 0/501000, 17.0 MiB behind the server',
  );
  expect(missingText(line, 'delayed')).toBe('000000010000000000000005 is delayed');
  expect(missingText(line, 'lost')).toBe('000000010000000000000006 and others are lost');
});
