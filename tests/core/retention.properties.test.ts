import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { IncarnationCatalogue } from '../../src/core/catalogue.ts';
import type { RetentionPlan } from '../../src/core/retention-plan.ts';
import { indexWal } from '../../src/core/wal-index.ts';
import { historyName, segmentName } from '../../src/core/wal-name.ts';
import { lease, lsnIn, segmentSize } from './catalogue-builder.ts';
import { plan } from './retention-request.ts';
import { isInside, isRestorable, storedIn, story, tell } from './retention-story.ts';

const policy = fc.record({ count: fc.integer({ min: 1, max: 6 }), days: fc.integer({ min: 0, max: 20 }) });
const runs = { numRuns: 300 } as const;

/** The incarnations as they are when a plan has been carried out. */
function after(
  incarnations: readonly IncarnationCatalogue[],
  { delete: gone, wal }: RetentionPlan,
): readonly IncarnationCatalogue[] {
  const ids = new Set(gone.map(({ backup }) => backup.id));
  return incarnations.map((each) => {
    const names = [...each.wal.timelines.values()].flatMap(({ timeline, runs: stored, hasHistory }) => {
      const left = stored.flatMap(({ first, last }) =>
        Array.from({ length: last - first + 1 }, (_, place) => first + place).filter(
          (segment) =>
            !wal.delete.some(
              (cut) =>
                cut.incarnation === each.number &&
                cut.timeline === timeline &&
                segment >= cut.first &&
                segment <= cut.last,
            ),
        ),
      );
      return [
        ...left.map((segment) => segmentName(timeline, segment, segmentSize)),
        ...(hasHistory ? [historyName(timeline)] : []),
      ];
    });
    return { ...each, backups: each.backups.filter(({ id }) => !ids.has(id)), wal: indexWal(names, segmentSize) };
  });
}

/** As if every segment were stored: what a backup with its own WAL lives on. */
const everything: Pick<ReadonlySet<string>, 'has'> = { has: () => true };

const idsOf = (list: RetentionPlan['keep']) => list.map(({ backup }) => backup.id);

test('every moment of the promised window that could be restored before can be restored after', () => {
  fc.assert(
    fc.property(story, policy, (steps, wanted) => {
      const { incarnations, current, moments } = tell(steps);
      const done = plan(incarnations, wanted, { current });
      const [before, left] = [incarnations, after(incarnations, done)];
      // What is damaged, or condemned by an earlier prune, promises nothing.
      const usable = before.map((each) => ({
        ...each,
        backups: each.backups.filter(
          ({ id }) => !(each.marks.get(id) ?? []).some((mark) => mark?.mark === 'deleting' || mark?.mark === 'damaged'),
        ),
      }));
      const [storedBefore, storedLeft] = [storedIn(before), storedIn(left)];
      for (const moment of moments.filter(({ at }) => isInside(at, wanted.days))) {
        if (isRestorable(moment, usable, storedBefore)) expect(isRestorable(moment, left, storedLeft)).toBe(true);
      }
      expect(done.refusals).toEqual([]);
    }),
    runs,
  );
});

test('never fewer good backups than the count remain, as far as there were any', () => {
  fc.assert(
    fc.property(story, policy, (steps, wanted) => {
      const { incarnations, current, moments } = tell(steps);
      const stored = storedIn(incarnations);
      const way = moments.findLast(({ way: each }) => {
        const tip = each.at(-1);
        return tip?.incarnation === current.incarnation && tip.timeline === current.timeline;
      })?.way;
      const good = incarnations.flatMap((each) =>
        each.backups.filter((backup) => {
          const end = Number((backup.stopLsn - 1n) / BigInt(segmentSize));
          const isOwn = { at: backup.stoppedAt, way: way ?? [], segment: end };
          const only = [{ ...each, backups: [{ ...backup, withWal: false }] }];
          // The segment of its end may be stored under its own timeline's name, or under that of one that left in it.
          const upToIt = isOwn.way.filter(({ timeline }) => timeline <= backup.timeline);
          const marks = (each.marks.get(backup.id) ?? []).map((mark) => mark?.mark);
          const isPinned = marks.findLast((mark) => mark === 'pinned' || mark === 'unpinned') === 'pinned';
          return (
            !marks.includes('damaged') &&
            !marks.includes('deleting') &&
            !isPinned &&
            isRestorable(isOwn, only, everything) &&
            (backup.withWal ||
              isRestorable(isOwn, only, stored) ||
              isRestorable({ ...isOwn, way: upToIt }, only, stored))
          );
        }),
      );

      const kept = new Set(idsOf(plan(incarnations, wanted, { current }).keep));

      expect(good.filter(({ id }) => kept.has(id)).length).toBeGreaterThanOrEqual(Math.min(wanted.count, good.length));
    }),
    runs,
  );
});

test('a second plan after the first finds nothing more to do', () => {
  fc.assert(
    fc.property(story, policy, (steps, wanted) => {
      const { incarnations, current } = tell(steps);
      const left = after(incarnations, plan(incarnations, wanted, { current }));

      const again = plan(left, wanted, { current });

      expect(again.delete).toEqual([]);
      expect(again.wal.delete).toEqual([]);
    }),
    runs,
  );
});

test('the order of a listing changes nothing', () => {
  fc.assert(
    fc.property(story, policy, fc.infiniteStream(fc.nat()), (steps, wanted, random) => {
      const { incarnations, current } = tell(steps);
      const shuffled = <T>(list: readonly T[]): T[] =>
        list
          .map((each) => ({ each, place: Number(random.next().value) }))
          .sort((a, b) => a.place - b.place)
          .map(({ each }) => each);
      const other = shuffled(incarnations).map((each) => ({
        ...each,
        backups: shuffled(each.backups),
        wal: { ...each.wal, timelines: new Map(shuffled([...each.wal.timelines])) },
        histories: new Map(shuffled([...each.histories])),
      }));

      expect(plan(other, wanted, { current })).toEqual(plan(incarnations, wanted, { current }));
    }),
    runs,
  );
});

test('more days keep everything that fewer keep', () => {
  fc.assert(
    fc.property(story, policy, fc.integer({ min: 1, max: 30 }), (steps, wanted, more) => {
      const { incarnations, current } = tell(steps);
      const few = plan(incarnations, wanted, { current });
      const many = plan(incarnations, { ...wanted, days: wanted.days + more }, { current });

      expect(idsOf(many.keep)).toEqual(expect.arrayContaining([...idsOf(few.keep)]));
      const [leftFew, leftMany] = [storedIn(after(incarnations, few)), storedIn(after(incarnations, many))];
      expect([...leftFew].filter((segment) => !leftMany.has(segment))).toEqual([]);
    }),
    runs,
  );
});

test('what can not be read keeps more, never less', () => {
  const unknown = fc.constantFrom('mark', 'lease', 'record');
  fc.assert(
    fc.property(story, policy, unknown, fc.nat(), (steps, wanted, what, which) => {
      const { incarnations, current } = tell(steps);
      const clear = plan(incarnations, wanted, { current });
      const all = incarnations.flatMap(({ backups }) => backups);
      const id = all[which % Math.max(1, all.length)]?.id ?? '';
      const place = which % incarnations.length;
      const clouded = incarnations.map((each, number) => {
        if (what === 'mark')
          return { ...each, marks: new Map([...each.marks, [id, [...(each.marks.get(id) ?? []), undefined]]]) };
        if (number !== place) return each;
        if (what === 'lease') return { ...each, leases: [{ key: 'lease', lease: undefined, isGuest: true }] };
        return { ...each, unfinished: [{ id: '20200101T000000Z-000000', storedBytes: 1, unreadable: 'newer format' }] };
      });

      const careful = plan(clouded, wanted, { current });

      expect(idsOf(careful.keep)).toEqual(
        expect.arrayContaining([...idsOf(clear.keep), ...(what === 'mark' ? [] : idsOf(clear.keep))]),
      );
      if (what === 'mark')
        expect(careful.delete.map(({ backup }) => backup.id)).not.toContain(id === '' ? undefined : id);
      else expect([careful.delete, careful.wal.delete]).toEqual([[], []]);
    }),
    runs,
  );
});

test('a lease only ever keeps more', () => {
  fc.assert(
    fc.property(story, policy, fc.nat(), fc.nat(200), (steps, wanted, which, segment) => {
      const { incarnations, current } = tell(steps);
      const all = incarnations.flatMap(({ backups }) => backups);
      const held = lease({
        hoursAgo: 1,
        backups: all.length === 0 ? [] : [all[which % all.length]?.id ?? ''],
        from: { timeline: 1, lsn: lsnIn(segment) },
      });
      const leased = incarnations.map((each, place) =>
        place === which % incarnations.length ? { ...each, leases: [held] } : each,
      );

      const [without, withLease] = [plan(incarnations, wanted, { current }), plan(leased, wanted, { current })];

      expect(idsOf(withLease.keep)).toEqual(
        expect.arrayContaining([...idsOf(without.keep), ...(held.lease?.backups ?? [])]),
      );
      const left = storedIn(after(leased, withLease));
      expect([...storedIn(after(incarnations, without))].filter((each) => !left.has(each))).toEqual([]);
    }),
    runs,
  );
});
