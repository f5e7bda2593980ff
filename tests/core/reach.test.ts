import { expect, test } from 'vitest';
import { hasItsWal, reachOf } from '../../src/core/reach.ts';
import { buildTree, type TimelineTree } from '../../src/core/timeline-tree.ts';
import type { Backup } from '../../src/core/backup.ts';
import { backup, incarnation, lsnIn } from './catalogue-builder.ts';

function reach(tree: TimelineTree, of: Backup): Record<string, number> {
  const branch = tree.branches.get(`1/${of.timeline}`);
  return branch === undefined ? {} : Object.fromEntries(reachOf(of, branch, tree));
}

/** Timeline 2 left timeline 1 in segment 25. */
const promoted = (wal: Parameters<typeof incarnation>[0]['wal']) =>
  buildTree([incarnation({ backups: [], wal: wal ?? {}, histories: { 2: [{ parent: 1, at: lsnIn(25, 100) }] } })]);

test('a backup reaches to the first hole', () => {
  const tree = buildTree([
    incarnation({
      backups: [],
      wal: {
        1: [
          [10, 20],
          [22, 30],
        ],
      },
    }),
  ]);

  expect(reach(tree, backup({ daysAgo: 1, segment: 12 }))).toEqual({ '1/1': 20 });
  expect(reach(tree, backup({ daysAgo: 1, segment: 21 }))).toEqual({});
});

test('a backup reaches along the timelines that left after it', () => {
  const tree = promoted({ 1: [[10, 30]], 2: [[25, 40]] });

  expect(reach(tree, backup({ daysAgo: 1, segment: 12 }))).toEqual({ '1/1': 30, '1/2': 40 });
});

test('a timeline that left before a backup had stopped is out of its reach', () => {
  const tree = promoted({ 1: [[10, 30]], 2: [[25, 40]] });

  expect(reach(tree, backup({ daysAgo: 1, segment: 24, lastSegment: 26 }))).toEqual({ '1/1': 30 });
  // It stops in the segment of the switch, 156 bytes after it.
  expect(reach(tree, backup({ daysAgo: 1, segment: 24, lastSegment: 25 }))).toEqual({ '1/1': 30 });
});

test('the segment of the switch is needed under the name of the new timeline only', () => {
  expect(reach(promoted({ 1: [[10, 24]], 2: [[25, 40]] }), backup({ daysAgo: 1, segment: 12 }))).toEqual({
    '1/1': 24,
    '1/2': 40,
  });
  expect(reach(promoted({ 1: [[10, 25]], 2: [[26, 40]] }), backup({ daysAgo: 1, segment: 12 }))).toEqual({ '1/1': 25 });
  expect(reach(promoted({ 1: [[10, 23]], 2: [[25, 40]] }), backup({ daysAgo: 1, segment: 12 }))).toEqual({ '1/1': 23 });
});

test('a backup has its WAL when its end is stored under either name', () => {
  const endsBeforeSwitch = { ...backup({ daysAgo: 1, segment: 24 }), stopLsn: lsnIn(25, 90) };
  const has = (wal: Parameters<typeof incarnation>[0]['wal']) => {
    const tree = promoted(wal);
    const branch = tree.branches.get('1/1');
    return branch !== undefined && hasItsWal(endsBeforeSwitch, branch, tree);
  };

  expect(has({ 1: [[24, 25]] })).toBe(true);
  expect(has({ 1: [[24, 24]], 2: [[25, 25]] })).toBe(true);
  expect(has({ 1: [[24, 24]], 2: [[26, 30]] })).toBe(false);
});
