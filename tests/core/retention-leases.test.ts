import { expect, test } from 'vitest';
import { backup, lease, lsnIn } from './catalogue-builder.ts';
import { daily, plan, segmentsOf, walOf } from './retention-request.ts';

const used = backup({ daysAgo: 9.25, segment: 10 });

test.each([
  { who: 'the owner', isGuest: false },
  { who: 'a guest', isGuest: true },
])('a lease of $who keeps its backup and WAL until 24 hours after its last heartbeat', ({ isGuest }) => {
  const held = { backups: [used.id], from: { timeline: 1, lsn: lsnIn(10, 40) }, isGuest };
  const young = plan(daily(10, { leases: [lease({ ...held, hoursAgo: 23.9 })] }), { count: 1, days: 0 });
  const old = plan(daily(10, { leases: [lease({ ...held, hoursAgo: 24 })] }), { count: 1, days: 0 });

  expect(segmentsOf(young.keep)).toEqual([10, 100]);
  expect(young.keep[0]?.because).toEqual(['in use by restore job of spare']);
  expect(walOf(young.wal.delete)).toEqual(['1:0-9']);
  expect(segmentsOf(old.keep)).toEqual([100]);
});

test('a lease that was ended keeps nothing', () => {
  const ended = lease({ backups: [used.id], hoursAgo: 0, ended: true });

  expect(segmentsOf(plan(daily(10, { leases: [ended] }), { count: 1, days: 0 }).keep)).toEqual([100]);
});

test('a backup that is marked and in use waits for the end of the job', () => {
  const held = lease({ backups: [used.id], hoursAgo: 0 });
  const { keep } = plan(daily(10, { leases: [held], marks: { [used.id]: ['deleting'] } }), { count: 1, days: 0 });

  expect(segmentsOf(keep)).toEqual([10, 100]);
});

test('a running backup is protected by its lease, with the WAL from its start', () => {
  const id = '20261124T110000Z-abcdef';
  const running = daily(10, {
    unfinished: [{ id, storedBytes: 1, unreadable: undefined }],
    leases: [lease({ kind: 'backup', hoursAgo: 0, backups: [id], from: { timeline: 1, lsn: lsnIn(95) } })],
  });

  const { unfinished, wal } = plan(running, { count: 1, days: 0 });

  expect(unfinished.keep).toEqual([{ incarnation: 1, id, because: 'in use by backup job' }]);
  expect(walOf(wal.delete)).toEqual(['1:0-94']);
});

test('an unfinished backup without a lease protects itself and all WAL for 24 hours, then it is swept', () => {
  const unfinished = (id: string) => daily(10, { unfinished: [{ id, storedBytes: 1, unreadable: undefined }] });
  const young = plan(unfinished('20261123T120001Z-abcdef'), { count: 1, days: 0 });
  const old = plan(unfinished('20261123T120000Z-abcdef'), { count: 1, days: 0 });

  expect(young.unfinished.sweep).toEqual([]);
  expect(young.wal.delete).toEqual([]);
  expect(old.unfinished.sweep).toHaveLength(1);
  expect(walOf(old.wal.delete)).toEqual(['1:0-99']);
});

test('a slow backup that is older than a day but beats stays', () => {
  const id = '20261120T000000Z-abcdef';
  const slow = daily(10, {
    unfinished: [{ id, storedBytes: 1, unreadable: undefined }],
    leases: [lease({ kind: 'backup', hoursAgo: 1, backups: [id], from: { timeline: 1, lsn: lsnIn(60) } })],
  });

  expect(plan(slow, { count: 1, days: 0 }).unfinished.sweep).toEqual([]);
});

test('the rest of a deleted backup is swept at once', () => {
  const id = '20261124T110000Z-abcdef';
  const rest = daily(10, {
    unfinished: [{ id, storedBytes: 1, unreadable: undefined }],
    marks: { [id]: ['deleting'] },
  });

  expect(plan(rest, { count: 1, days: 0 }).unfinished.sweep).toEqual([
    { incarnation: 1, id, because: 'the rest of a backup that an earlier prune deleted' },
  ]);
});
