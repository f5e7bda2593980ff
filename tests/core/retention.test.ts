import { containing } from '../setup/containing.ts';
import { expect, test } from 'vitest';
import { backup, daysAgo, hourMs, incarnation, lsnIn, now } from './catalogue-builder.ts';
import { daily, plan, segmentsOf, walOf } from './retention-request.ts';

test('the window keeps everything inside it and the anchor before it', () => {
  const { keep, delete: gone } = plan(daily(10), { count: 1, days: 3 });

  expect(segmentsOf(keep)).toEqual([70, 80, 90, 100]);
  expect(segmentsOf(gone)).toEqual([10, 20, 30, 40, 50, 60]);
  expect(keep[0]?.because).toEqual([containing('the anchor')]);
  expect(gone[0]?.because).toContain('before the anchor');
});

test('the count keeps more than the window where it reaches further', () => {
  const { keep } = plan(daily(10), { count: 6, days: 1 });

  expect(segmentsOf(keep)).toEqual([50, 60, 70, 80, 90, 100]);
  expect(keep[0]?.because).toEqual(['one of the 6 newest']);
});

test('a window of seven days with daily backups keeps eight', () => {
  expect(segmentsOf(plan(daily(20), { count: 1, days: 7 }).keep)).toHaveLength(8);
});

test('fewer backups than the count is nothing to do', () => {
  const { refusals, delete: gone } = plan(daily(3), { count: 7, days: 0 });

  expect(refusals).toEqual([]);
  expect(gone).toEqual([]);
});

test('no backups at all is nothing to do, and their WAL stays', () => {
  const { refusals, wal } = plan(incarnation({ backups: [], wal: { 1: [[3, 9]] } }), { count: 1, days: 0 });

  expect(refusals).toEqual([]);
  expect(wal.delete).toEqual([]);
  expect(wal.keep).toEqual([
    expect.objectContaining({ first: 3, last: 9, because: 'there is no good backup to measure by' }),
  ]);
});

test('when backups have failed for longer than the window, the newest stay as the floor', () => {
  const old = incarnation({
    backups: [60, 50, 40].map((age, place) => backup({ daysAgo: age, segment: (place + 1) * 10 })),
    wal: { 1: [[0, 99]] },
  });

  expect(segmentsOf(plan(old, { count: 2, days: 7 }).keep)).toEqual([20, 30]);
});

test('without a backup from before the window nothing of the window expires', () => {
  expect(plan(daily(4), { count: 1, days: 30 }).delete).toEqual([]);
});

test('order is by LSN and recorded time, never by the name', () => {
  const [first, second] = [backup({ daysAgo: 5, segment: 10 }), backup({ daysAgo: 3, segment: 20 })];
  const renamed = incarnation({
    backups: [
      { ...first, id: '29990101T000000Z-00000a' },
      { ...second, id: '19990101T000000Z-000014' },
    ],
    wal: { 1: [[0, 30]] },
  });

  expect(segmentsOf(plan(renamed, { count: 1, days: 0 }).keep)).toEqual([20]);
});

test('a clock that was set back for a while keeps more, never less', () => {
  const ages = [6, 1, 5, 0.5];
  const jumped = incarnation({
    backups: ages.map((age, place) => backup({ daysAgo: age, segment: (place + 1) * 10 })),
    wal: { 1: [[0, 99]] },
  });

  expect(segmentsOf(plan(jumped, { count: 1, days: 2 }).keep)).toEqual([10, 20, 30, 40]);
});

test('a pinned backup stays and takes nobody a place', () => {
  const pinned = backup({ daysAgo: 0.25, segment: 100 });
  const { keep } = plan(daily(10, { marks: { [pinned.id]: ['pinned'] } }), { count: 2, days: 0 });

  expect(segmentsOf(keep)).toEqual([80, 90, 100]);
  expect(keep[2]?.because).toEqual(['pinned']);
});

test('an old pinned backup stays with its WAL', () => {
  const pinned = backup({ daysAgo: 9.25, segment: 10 });
  const { keep, wal } = plan(daily(10, { marks: { [pinned.id]: ['pinned'] } }), { count: 2, days: 0 });

  expect(segmentsOf(keep)).toEqual([10, 90, 100]);
  expect(walOf(wal.delete)).toEqual(['1:0-9']);
});

test('of pinned and unpinned the newest by number counts', () => {
  const old = backup({ daysAgo: 9.25, segment: 10 });
  const keep = (marks: readonly ('pinned' | 'unpinned')[]) =>
    segmentsOf(plan(daily(10, { marks: { [old.id]: marks } }), { count: 2, days: 0 }).keep);

  expect(keep(['pinned', 'unpinned'])).toEqual([90, 100]);
  expect(keep(['pinned', 'unpinned', 'pinned'])).toEqual([10, 90, 100]);
});

test('a damaged backup is no anchor and none of the newest, and stays until the window has passed it', () => {
  const damaged = backup({ daysAgo: 3.25, segment: 70 });
  const { keep, delete: gone } = plan(daily(10, { marks: { [damaged.id]: ['damaged'] } }), { count: 1, days: 3 });

  expect(segmentsOf(keep)).toEqual([60, 70, 80, 90, 100]);
  expect(segmentsOf(gone)).toEqual([10, 20, 30, 40, 50]);
  expect(segmentsOf(plan(daily(10, { marks: { [damaged.id]: ['damaged'] } }), { count: 1, days: 1 }).delete)).toContain(
    70,
  );
});

test('a backup whose own WAL is not all stored does not count', () => {
  const holed = incarnation({
    backups: [backup({ daysAgo: 3, segment: 10 }), backup({ daysAgo: 1, segment: 20, lastSegment: 24 })],
    wal: {
      1: [
        [0, 22],
        [24, 40],
      ],
    },
  });

  const { keep, delete: gone } = plan(holed, { count: 1, days: 0 });

  expect(gone).toEqual([]);
  expect(keep[1]?.because).toEqual(['not all of its own WAL is stored: stays until the window has passed it']);
});

test('a stop exactly on the boundary of a segment needs the one before it only', () => {
  const onBoundary = { ...backup({ daysAgo: 1, segment: 10 }), stopLsn: lsnIn(12) };
  const older = backup({ daysAgo: 3, segment: 5 });

  expect(
    segmentsOf(plan(incarnation({ backups: [older, onBoundary], wal: { 1: [[5, 11]] } }), { count: 1, days: 0 }).keep),
  ).toEqual([10]);
  expect(
    segmentsOf(plan(incarnation({ backups: [older, onBoundary], wal: { 1: [[5, 10]] } }), { count: 1, days: 0 }).keep),
  ).toEqual([5, 10]);
});

test('a backup that is marked for deletion does not count and is finished', () => {
  const condemned = backup({ daysAgo: 0.25, segment: 100 });
  const { keep, delete: gone } = plan(daily(10, { marks: { [condemned.id]: ['deleting'] } }), { count: 2, days: 0 });

  expect(segmentsOf(keep)).toEqual([80, 90]);
  expect(gone.at(-1)).toMatchObject({ because: 'marked for deletion by an earlier prune', isRest: true });
});

test('a mark that can not be read protects its backup, which does not count', () => {
  const unknown = backup({ daysAgo: 9.25, segment: 10 });
  const { keep } = plan(daily(10, { marks: { [unknown.id]: [undefined] } }), { count: 1, days: 0 });

  expect(segmentsOf(keep)).toEqual([10, 100]);
  expect(keep[0]?.because[0]).toBe('one of its marks can not be read');
});

test('newer backups of an abandoned timeline do not count, and stay until the window has passed them', () => {
  // Timeline 1 was left in segment 25; a backup at 30 was taken on it before anybody knew.
  const forked = (ages: { readonly abandoned: number; readonly first: number; readonly second: number }) =>
    incarnation({
      backups: [
        backup({ daysAgo: 20, segment: 10 }),
        backup({ daysAgo: ages.abandoned, segment: 30 }),
        backup({ daysAgo: ages.first, segment: 27, timeline: 2 }),
        backup({ daysAgo: ages.second, segment: 40, timeline: 2 }),
      ],
      wal: { 1: [[0, 35]], 2: [[25, 60]] },
      histories: { 2: [{ parent: 1, at: lsnIn(25, 100) }] },
    });
  const on2 = { current: { incarnation: 1, timeline: 2 } };

  const inside = plan(forked({ abandoned: 5, first: 2, second: 1 }), { count: 1, days: 7 }, on2);
  expect(segmentsOf(inside.keep)).toEqual([10, 27, 30, 40]);
  expect(inside.keep[2]?.because).toEqual(['on a timeline that was left (1): stays until the window has passed it']);

  const counted = plan(forked({ abandoned: 5, first: 2, second: 1 }), { count: 3, days: 0 }, on2);
  expect(counted.keep.filter(({ because }) => because[0] === 'one of the 3 newest')).toHaveLength(3);
  expect(segmentsOf(counted.delete)).toEqual([30]);

  const passed = plan(forked({ abandoned: 15, first: 9, second: 8 }), { count: 1, days: 7 }, on2);
  expect(segmentsOf(passed.keep)).toEqual([40]);
  expect(walOf(passed.wal.delete)).toEqual(['1:0-35', '2:25-39']);
});

test('a last success older than the schedule allows refuses', () => {
  const { refusals, delete: gone, wal } = plan(daily(10), { count: 1, days: 0 }, { scheduledAt: daysAgo(0.1) });

  expect(refusals).toEqual([containing('backups fail or are missed')]);
  expect(gone).toEqual([]);
  expect(wal.delete).toEqual([]);
});

test('a success since the schedule wanted one allows', () => {
  expect(plan(daily(10), { count: 1, days: 0 }, { scheduledAt: daysAgo(0.3) }).refusals).toEqual([]);
});

test('only backups that count are a success', () => {
  const newest = backup({ daysAgo: 0.25, segment: 100 });
  const damaged = daily(10, { marks: { [newest.id]: ['damaged'] } });

  expect(plan(damaged, { count: 1, days: 0 }, { scheduledAt: daysAgo(0.3) }).refusals).toHaveLength(1);
});

test.each(['server', 'destination', 'host'] as const)('a clock of the %s that is six minutes off refuses', (which) => {
  const clocks = { host: now, server: now, destination: now, [which]: new Date(now.getTime() + 0.1 * hourMs) };

  expect(plan(daily(10), { count: 1, days: 0 }, { clocks }).refusals[0]).toContain('the clocks disagree');
  expect(
    plan(daily(10), { count: 1, days: 0 }, { clocks: { ...clocks, [which]: new Date(now.getTime() + 4 * 60_000) } })
      .refusals,
  ).toEqual([]);
});

test('the slowest clock counts as now, so a fast one shortens no window', () => {
  const minutes = (count: number) => new Date(now.getTime() + count * 60_000);
  const edge = incarnation({
    backups: [backup({ daysAgo: 3, segment: 10 }), backup({ daysAgo: 2 - 1 / 1440, segment: 20 })],
    wal: { 1: [[0, 30]] },
  });
  const kept = (clocks: { host: Date; server: Date; destination: Date }) =>
    segmentsOf(plan(edge, { count: 1, days: 2 }, { clocks }).keep);

  expect(kept({ host: minutes(3), server: minutes(3), destination: minutes(3) })).toEqual([20]);
  expect(kept({ host: minutes(3), server: now, destination: minutes(3) })).toEqual([10, 20]);
  expect(kept({ host: minutes(3), server: minutes(3), destination: now })).toEqual([10, 20]);
});

test('a newest backup in the future refuses', () => {
  const future = incarnation({
    backups: [backup({ daysAgo: 1, segment: 10 }), backup({ daysAgo: -1, segment: 20 })],
    wal: { 1: [[0, 30]] },
  });

  expect(plan(future, { count: 1, days: 0 }).refusals).toEqual([containing('ended in the future')]);
});

test('a record of a backup that can not be read refuses', () => {
  const unreadable = daily(10, {
    unfinished: [{ id: '20261101T000000Z-abcdef', storedBytes: 1, unreadable: 'not JSON' }],
  });

  const { refusals, unfinished } = plan(unreadable, { count: 1, days: 0 });

  expect(refusals).toEqual([containing('20261101T000000Z-abcdef can not be read (not JSON)')]);
  expect(unfinished.sweep).toEqual([]);
});

test('a lease that can not be read refuses', () => {
  const unreadable = daily(10, { leases: [{ key: 'the/key.json', lease: undefined, isGuest: true }] });

  expect(plan(unreadable, { count: 1, days: 0 }).refusals).toEqual([containing('the/key.json can not be read')]);
});
