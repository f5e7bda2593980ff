import { containing } from '../setup/containing.ts';
import { expect, test } from 'vitest';
import { backup, incarnation, lease, lsnIn, segmentSize } from './catalogue-builder.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import { findWorse } from '../../src/core/retention.ts';
import { buildTree } from '../../src/core/timeline-tree.ts';
import { plan, segmentsOf, walOf } from './retention-request.ts';

test('everything from the start segment of the oldest kept backup on, however old the window is', () => {
  // A rule by age would take what lies between the anchor and the window's edge.
  const archived = incarnation({
    backups: [
      backup({ daysAgo: 30, segment: 10 }),
      backup({ daysAgo: 20, segment: 50 }),
      backup({ daysAgo: 1, segment: 90 }),
    ],
    wal: { 1: [[0, 120]] },
  });

  const { keep, wal } = plan(archived, { count: 1, days: 7 });

  expect(segmentsOf(keep)).toEqual([50, 90]);
  expect(walOf(wal.delete)).toEqual(['1:0-49']);
  expect(wal.keep[0]?.because).toMatch(/^needed by backup .*-000032$/);
});

test('segments beyond a hole stay as they are needed by what comes later', () => {
  const holed = incarnation({
    backups: [backup({ daysAgo: 3, segment: 10 }), backup({ daysAgo: 1, segment: 30 })],
    wal: {
      1: [
        [0, 20],
        [25, 40],
      ],
    },
  });

  const { wal } = plan(holed, { count: 2, days: 0 });

  expect(walOf(wal.delete)).toEqual(['1:0-9']);
  expect(walOf(wal.keep)).toEqual(['1:10-20', '1:25-40']);
});

test('segment numbers are compared within the timeline tree, not names', () => {
  // Timeline 2 left timeline 1 in segment 25. Names of timeline 2 sort after all of timeline 1.
  const promoted = incarnation({
    backups: [
      backup({ daysAgo: 5, segment: 10 }),
      backup({ daysAgo: 3, segment: 20 }),
      backup({ daysAgo: 1, segment: 30, timeline: 2 }),
    ],
    wal: { 1: [[0, 24]], 2: [[25, 40]] },
    histories: { 2: [{ parent: 1, at: lsnIn(25, 100) }] },
  });
  const on2 = { current: { incarnation: 1, timeline: 2 } };

  expect(walOf(plan(promoted, { count: 2, days: 0 }, on2).wal.delete)).toEqual(['1:0-19']);
  expect(walOf(plan(promoted, { count: 1, days: 0 }, on2).wal.delete)).toEqual(['1:0-24', '2:25-29']);
});

test('the ancestor keeps its copy of the segment in which a kept backup and the switch lie', () => {
  const inSwitch = incarnation({
    backups: [
      backup({ daysAgo: 5, segment: 10 }),
      { ...backup({ daysAgo: 1, segment: 25, timeline: 2 }), startLsn: lsnIn(25, 500) },
    ],
    wal: { 1: [[0, 25]], 2: [[25, 40]] },
    histories: { 2: [{ parent: 1, at: lsnIn(25, 100) }] },
  });

  const { wal } = plan(inSwitch, { count: 1, days: 0 }, { current: { incarnation: 1, timeline: 2 } });

  expect(walOf(wal.delete)).toEqual(['1:0-24']);
});

test('a backup with its own WAL needs none of the archive', () => {
  const mixed = incarnation({
    backups: [backup({ daysAgo: 9, segment: 10, withWal: true }), backup({ daysAgo: 1, segment: 30 })],
    wal: { 1: [[0, 40]] },
  });

  const { keep, wal } = plan(mixed, { count: 2, days: 0 });

  expect(segmentsOf(keep)).toEqual([10, 30]);
  expect(walOf(wal.delete)).toEqual(['1:0-29']);
});

test('where only backups with their own WAL are left, what lies below the newest goes', () => {
  const without = incarnation({
    backups: [backup({ daysAgo: 2, segment: 10, withWal: true }), backup({ daysAgo: 1, segment: 30, withWal: true })],
    wal: { 1: [[0, 40]] },
  });

  expect(walOf(plan(without, { count: 2, days: 0 }).wal.delete)).toEqual(['1:0-29']);
});

test('a backup with its own WAL is no anchor for the moments after it', () => {
  const sketch = (reach: number) =>
    incarnation({
      backups: [
        backup({ daysAgo: 12, segment: 10 }),
        backup({ daysAgo: 9, segment: 30, withWal: true }),
        backup({ daysAgo: 1, segment: 50, withWal: true }),
      ],
      wal: { 1: [[10, reach]] },
    });

  expect(segmentsOf(plan(sketch(60), { count: 1, days: 7 }).keep)).toEqual([10, 30, 50]);
  // Its WAL ends before a later backup from before the window's edge: no moment of the window needs it.
  expect(segmentsOf(plan(sketch(20), { count: 1, days: 7 }).keep)).toEqual([30, 50]);
});

test('a timeline that no history explains stays whole and is told', () => {
  const strange = incarnation({ backups: [backup({ daysAgo: 1, segment: 30 })], wal: { 1: [[0, 40]], 7: [[2, 5]] } });

  const { wal } = plan(strange, { count: 1, days: 0 });

  expect(walOf(wal.delete)).toEqual(['1:0-29']);
  expect(wal.keep.at(-1)).toMatchObject({ timeline: 7, because: containing('has no history file') });
});

test('a cluster that was adopted on a late timeline without its history is pruned by its own backups', () => {
  const adopted = incarnation({
    backups: [backup({ daysAgo: 5, segment: 10, timeline: 5 }), backup({ daysAgo: 1, segment: 30, timeline: 5 })],
    wal: { 5: [[5, 40]] },
  });

  const { keep, wal } = plan(adopted, { count: 1, days: 0 }, { current: { incarnation: 1, timeline: 5 } });

  expect(segmentsOf(keep)).toEqual([30]);
  expect(walOf(wal.delete)).toEqual(['5:5-29']);
});

test('names that no cluster could have made are told and never planned', () => {
  const stranger = `${segmentName(1, 3, segmentSize).slice(0, 16)}00000F00`;
  const { wal } = plan(
    incarnation({ backups: [backup({ daysAgo: 1, segment: 5 })], wal: { 1: [[5, 9]] }, names: [stranger] }),
    {
      count: 1,
      days: 0,
    },
  );

  expect(wal.strangers).toEqual([stranger]);
  expect(wal.delete).toEqual([]);
});

test('a lease protects on every timeline', () => {
  const promoted = incarnation({
    backups: [backup({ daysAgo: 5, segment: 10 }), backup({ daysAgo: 1, segment: 35, timeline: 2 })],
    wal: { 1: [[0, 24]], 2: [[25, 40]] },
    histories: { 2: [{ parent: 1, at: lsnIn(25, 100) }] },
    leases: [lease({ hoursAgo: 1, from: { timeline: 1, lsn: lsnIn(22) } })],
  });

  const { wal } = plan(promoted, { count: 1, days: 0 }, { current: { incarnation: 1, timeline: 2 } });

  expect(walOf(wal.delete)).toEqual(['1:0-21']);
});

test('a plan that takes a segment from a backup that stays is found out', () => {
  const kept = backup({ daysAgo: 1, segment: 10 });
  const tree = buildTree([incarnation({ backups: [kept], wal: { 1: [[0, 40]] } })]);
  const branch = tree.branches.get('1/1');
  if (branch === undefined) throw new Error('no branch');
  const worse = (first: number, last: number) =>
    findWorse(
      tree,
      [{ judged: { backup: kept, branch } }],
      [{ incarnation: 1, timeline: 1, first, last, because: '' }],
    );

  expect(worse(0, 9)).toEqual([]);
  expect(worse(0, 10)).toEqual([containing('would take WAL from backup')]);
  expect(worse(30, 30)).toHaveLength(1);
  expect(worse(40, 40)).toHaveLength(1);
});

test('an abandoned timeline keeps the backup that it began from, when the current one has a later anchor', () => {
  // Backup 10, backup 20, then set back to segment 15 (incarnation 2) and, later, to segment 30 of the first life.
  const [first, second] = [backup({ daysAgo: 9, segment: 10 }), backup({ daysAgo: 8, segment: 20 })];
  const lives = [
    incarnation({ number: 1, backups: [first, second], wal: { 1: [[0, 40]] } }),
    incarnation({
      number: 2,
      since: new Date('2026-11-18T12:00:00.000Z'),
      parent: { incarnation: 1, timeline: 1, lsn: lsnIn(15, 100) },
      backups: [],
      wal: { 2: [[15, 20]] },
      histories: { 2: [{ parent: 1, at: lsnIn(15, 100) }] },
    }),
    incarnation({
      number: 3,
      since: new Date('2026-11-20T12:00:00.000Z'),
      parent: { incarnation: 1, timeline: 1, lsn: lsnIn(30, 100) },
      backups: [backup({ daysAgo: 1, segment: 35, timeline: 3, incarnation: 3 })],
      wal: { 3: [[30, 40]] },
      histories: { 3: [{ parent: 1, at: lsnIn(30, 100) }] },
    }),
  ];
  const on3 = { current: { incarnation: 3, timeline: 3 } };

  const inside = plan(lives, { count: 1, days: 7 }, on3);
  expect(segmentsOf(inside.keep)).toEqual([10, 20, 35]);
  expect(inside.keep[0]?.because).toEqual(['timeline 2 begins from it, and was still in use within 7 days']);

  const passed = plan(lives, { count: 1, days: 3 }, on3);
  expect(segmentsOf(passed.keep)).toEqual([20, 35]);
});

// Incarnation 1 ran on timeline 1 to segment 60. It was restored in place to segment 25 and goes on as incarnation 2.
const parent = { incarnation: 1, timeline: 1, lsn: lsnIn(25, 100) };
const restored = (ages: readonly [number, number, number]) => [
  incarnation({
    number: 1,
    backups: [backup({ daysAgo: 20, segment: 10 }), backup({ daysAgo: ages[0], segment: 40 })],
    wal: { 1: [[0, 60]] },
  }),
  incarnation({
    number: 2,
    parent,
    backups: [
      backup({ daysAgo: ages[1], segment: 30, timeline: 2, incarnation: 2 }),
      backup({ daysAgo: ages[2], segment: 35, timeline: 2, incarnation: 2 }),
    ],
    wal: { 2: [[25, 50]] },
    histories: { 2: [{ parent: 1, at: parent.lsn }] },
  }),
];
const on2 = { current: { incarnation: 2, timeline: 2 } };

test('a backup of the parent from before the switch is the anchor of the child', () => {
  const { keep, wal } = plan(restored([5, 3, 1]), { count: 1, days: 7 }, on2);

  expect(segmentsOf(keep)).toEqual([10, 30, 35, 40]);
  expect(keep[0]?.because).toContainEqual(containing('the anchor'));
  expect(walOf(wal.delete)).toEqual(['1:0-9']);
});

test('what the parent took after the switch is abandoned and goes when the window has passed it', () => {
  const { keep, wal } = plan(restored([12, 10, 1]), { count: 1, days: 7 }, on2);

  expect(segmentsOf(keep)).toEqual([30, 35]);
  expect(walOf(wal.delete)).toEqual(['1:0-60', '2:25-29']);
});

test('listing the incarnations in another order changes nothing', () => {
  const list = restored([5, 3, 1]);

  expect(plan([...list].reverse(), { count: 1, days: 7 }, on2)).toEqual(plan(list, { count: 1, days: 7 }, on2));
});
