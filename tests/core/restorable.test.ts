import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ClusterCatalogue, IncarnationCatalogue } from '../../src/core/catalogue.ts';
import { backupFault } from '../../src/core/backup-fault.ts';
import {
  contiguousFrom,
  defaultTimeline,
  historiesOn,
  restorable,
  segmentAt,
  wayTo,
  windowsOn,
} from '../../src/core/restorable.ts';
import { timelineOfSegment } from '../../src/core/timeline.ts';
import { segmentEndingAt, segmentName, segmentOf, segmentStart } from '../../src/core/wal-name.ts';
import { backup, incarnation, lsnIn, segmentSize } from './catalogue-builder.ts';

function cluster(...incarnations: readonly IncarnationCatalogue[]): ClusterCatalogue {
  return { systemIdentifier: '7000000000000000001', incarnations };
}

function way(of: ClusterCatalogue, number: number, timeline: number) {
  const found = wayTo(of, number, timeline);
  if (found === undefined) throw new Error('there is no such way');
  return found;
}

test('a window goes from the backup to the first gap, and names the gap', () => {
  const one = cluster(
    incarnation({
      backups: [backup({ daysAgo: 3, segment: 5 }), backup({ daysAgo: 1, segment: 21 })],
      wal: {
        1: [
          [3, 10],
          [13, 13],
          [20, 30],
        ],
      },
    }),
  );

  const windows = restorable(one, 1);

  expect(windows.map(({ from, to, gap }) => ({ from, to, gap }))).toEqual([
    { from: lsnIn(6, 256), to: lsnIn(11), gap: { timeline: 1, first: 11, last: 12 } },
    { from: lsnIn(22, 256), to: lsnIn(31), gap: undefined },
  ]);
});

test('a backup without the WAL up to its stop gives no window, neither does one that carries its own', () => {
  const lacking = backup({ daysAgo: 3, segment: 5, lastSegment: 8 });
  const own = backup({ daysAgo: 2, segment: 5, withWal: true });

  expect(restorable(cluster(incarnation({ backups: [lacking, own], wal: { 1: [[5, 7]] } })), 1)).toEqual([]);
  expect(restorable(cluster(incarnation({ backups: [lacking], wal: { 1: [[5, 8]] } })), 1)).toHaveLength(1);
  expect(restorable(cluster(incarnation({ backups: [lacking], wal: { 1: [[6, 9]] } })), 1)).toEqual([]);
});

test('the segment in which a timeline begins carries its name; the parent ends before', () => {
  const one = cluster(
    incarnation({
      backups: [backup({ daysAgo: 3, segment: 5 })],
      wal: { 1: [[5, 12]], 2: [[9, 15]] },
      histories: { 2: [{ parent: 1, at: lsnIn(9, 500) }] },
    }),
  );

  const [newest] = windowsOn(one, way(one, 1, 2));

  expect(newest?.stretches).toEqual([
    { incarnation: 1, timeline: 1, first: 5, last: 8 },
    { incarnation: 1, timeline: 2, first: 9, last: 15 },
  ]);
  expect(newest?.to).toBe(lsnIn(16));
  expect(windowsOn(one, way(one, 1, 1))[0]?.to).toBe(lsnIn(13));
  expect(defaultTimeline(one, 1, undefined)).toBe(2);
});

test('a timeline that left before the backup stopped does not descend from it', () => {
  const late = backup({ daysAgo: 1, segment: 10 });
  const one = cluster(
    incarnation({
      backups: [late],
      wal: { 1: [[5, 14]], 2: [[9, 20]] },
      histories: { 2: [{ parent: 1, at: lsnIn(9, 500) }] },
    }),
  );

  expect(windowsOn(one, way(one, 1, 2))).toEqual([]);
  expect(defaultTimeline(one, 1, late)).toBe(1);
});

test("a child reads its own WAL first and its parent's up to where it left, never the parent's timeline of the same number", () => {
  const parent = incarnation({
    backups: [backup({ daysAgo: 5, segment: 5 })],
    wal: { 1: [[5, 20]], 2: [[18, 40]] },
    histories: { 2: [{ parent: 1, at: lsnIn(18, 99) }], 3: [{ parent: 2, at: lsnIn(30) }] },
  });
  const child = incarnation({
    number: 2,
    backups: [],
    wal: { 2: [[12, 13]] },
    histories: { 2: [{ parent: 1, at: lsnIn(12, 500) }] },
    parent: { incarnation: 1, timeline: 1, lsn: lsnIn(12, 500) },
  });
  const two = cluster(parent, child);

  const [window] = restorable(two, 2);

  expect(window).toMatchObject({ backupIncarnation: 1, incarnation: 2, timeline: 2, to: lsnIn(14), gap: undefined });
  expect(window?.stretches).toEqual([
    { incarnation: 1, timeline: 1, first: 5, last: 11 },
    { incarnation: 2, timeline: 2, first: 12, last: 13 },
  ]);
  expect(historiesOn(two, way(two, 2, 2))).toEqual([
    { timeline: 2, incarnation: 2 },
    { timeline: 3, incarnation: 1 },
  ]);
});

test("a parent's backup from after the child left is none of the child's", () => {
  const parent = incarnation({ backups: [backup({ daysAgo: 1, segment: 15 })], wal: { 1: [[5, 20]] } });
  const child = incarnation({
    number: 2,
    backups: [],
    wal: { 2: [[12, 13]] },
    histories: { 2: [{ parent: 1, at: lsnIn(12, 500) }] },
    parent: { incarnation: 1, timeline: 1, lsn: lsnIn(12, 500) },
  });

  expect(restorable(cluster(parent, child), 2)).toEqual([]);
});

test('a taken-over copy without its history begins with its own backup', () => {
  const own = backup({ daysAgo: 1, segment: 14, timeline: 2, incarnation: 2 });
  const parent = incarnation({ backups: [backup({ daysAgo: 5, segment: 5 })], wal: { 1: [[5, 20]] } });
  const child = incarnation({
    number: 2,
    backups: [own],
    wal: { 2: [[14, 18]] },
    parent: { incarnation: 1, timeline: 1, lsn: lsnIn(12, 500) },
  });

  expect(restorable(cluster(parent, child), 2).map(({ backup: { id }, to }) => ({ id, to }))).toEqual([
    { id: own.id, to: lsnIn(19) },
  ]);
});

test('a backup that is marked as damaged or as being deleted, or that cannot be judged, is no use', () => {
  const { id } = backup({ daysAgo: 1, segment: 5 });
  const marked = (...marks: readonly ('deleting' | 'damaged' | 'pinned' | 'unpinned' | undefined)[]) =>
    backupFault(incarnation({ backups: [], marks: { [id]: marks } }), id);

  expect(marked()).toBeUndefined();
  expect(marked('pinned', 'unpinned')).toBeUndefined();
  expect(marked('pinned', 'deleting')).toBe('it is being deleted');
  expect(marked('damaged')).toMatch(/marked as damaged/);
  expect(marked(undefined)).toBe('one of its marks cannot be read');
});

test('the longest part of the segment after the last whole one ends the window, and no other part counts', () => {
  const one = cluster(
    incarnation({
      backups: [backup({ daysAgo: 1, segment: 5 })],
      wal: { 1: [[5, 8]] },
      names: [
        `${segmentName(1, 9, segmentSize)}.00000100.part`,
        `${segmentName(1, 9, segmentSize)}.00000300.part`,
        `${segmentName(1, 8, segmentSize)}.00000400.part`,
        `${segmentName(1, 10, segmentSize)}.00000500.part`,
      ],
    }),
  );

  const [window] = restorable(one, 1);

  expect(window?.to).toBe(lsnIn(9, 0x300));
  expect(window?.stretches.at(-1)).toEqual({ incarnation: 1, timeline: 1, first: 9, last: 9, part: 0x300 });
});

test('work does not grow with the number of segments', () => {
  const runs = [{ first: 1, last: 2_000_000 }];
  const base = incarnation({ backups: [backup({ daysAgo: 1, segment: 5 })] });
  const huge = {
    ...base,
    wal: { ...base.wal, timelines: new Map([[1, { timeline: 1, runs, partials: [], parts: [], hasHistory: false }]]) },
  };
  const begun = performance.now();

  expect(restorable(cluster(huge), 1)[0]?.to).toBe(lsnIn(2_000_001));
  expect(performance.now() - begun).toBeLessThan(100);
});

const runsArbitrary = fc.array(fc.tuple(fc.nat(30), fc.nat(8)), { maxLength: 6 });

test('a window holds exactly the segments that a walk finds one after the other', () => {
  fc.assert(
    fc.property(
      runsArbitrary,
      runsArbitrary,
      runsArbitrary,
      fc.nat(30),
      fc.integer({ min: 0, max: 25 }),
      (one, two, child, at, start) => {
        const wal = (runs: readonly (readonly [number, number])[]) =>
          runs.map(([first, length]) => [first, first + length] as const);
        const left = lsnIn(at, 500);
        const parent = incarnation({
          backups: [backup({ daysAgo: 1, segment: start })],
          wal: { 1: wal(one), 2: wal(two) },
        });
        const heir = incarnation({
          number: 2,
          backups: [],
          wal: { 1: wal(child), 2: wal(child) },
          histories: { 2: [{ parent: 1, at: left }] },
          parent: { incarnation: 1, timeline: 1, lsn: left },
        });
        const all = cluster(parent, heir);
        const to = way(all, 2, 2);
        const inRuns = (runs: readonly (readonly [number, number])[], segment: number) =>
          wal(runs).some(([first, last]) => segment >= first && segment <= last);
        const stored = (segment: number): number | undefined => {
          const timeline = timelineOfSegment(to.path, segment);
          if (inRuns(child, segment)) return 2;
          const shared = timeline === 1 && segmentStart(segment, segmentSize) < left;
          return shared && inRuns(one, segment) ? 1 : undefined;
        };

        const { stretches, last } = contiguousFrom(to, start);

        let walked = start;
        for (; stored(walked) !== undefined; walked += 1)
          expect(segmentAt(stretches, walked)?.incarnation).toBe(stored(walked));
        expect(last).toBe(walked - 1);
        for (const window of windowsOn(all, to)) {
          expect(segmentOf(window.backup.startLsn, segmentSize)).toBe(start);
          expect(window.to).toBe(lsnIn(walked));
          expect(segmentEndingAt(window.from, segmentSize)).toBeLessThan(walked);
        }
      },
    ),
    { numRuns: 500 },
  );
});
