import { expect, test } from 'vitest';
import type { ClusterCatalogue, IncarnationCatalogue } from '../../src/core/catalogue.ts';
import { findParent } from '../../src/core/take-over-parent.ts';
import { indexWal } from '../../src/core/wal-index.ts';
import { segmentName } from '../../src/core/wal-name.ts';

const size = 1024 * 1024;

function incarnation(
  number: number,
  segments: readonly (readonly [timeline: number, segment: number])[],
): IncarnationCatalogue {
  const names = segments.map(([timeline, segment]) => segmentName(timeline, segment, size));
  return {
    number,
    owner: {
      format: 1,
      ownerId: String(number),
      model: 'm',
      application: 'a',
      unit: 'u',
      since: new Date(0),
      parent: null,
    },
    systemIdentifier: '7',
    backups: [],
    unfinished: [],
    marks: new Map(),
    wal: indexWal(names, size),
    histories: new Map(),
    leases: [],
    witness: undefined,
    restorePoints: [],
    holes: [],
  };
}

const cluster = (...incarnations: readonly IncarnationCatalogue[]): ClusterCatalogue => ({
  systemIdentifier: '7',
  incarnations,
});
const at = BigInt(size) * 3n + 200n;
const history = [{ parent: 1, at }];
const first = incarnation(1, [
  [1, 2],
  [1, 3],
]);

test('the one that itself stores where the copy left is the parent', () => {
  const child = incarnation(2, [[2, 3]]);
  expect(findParent(cluster(first, child), 3, history, undefined)).toEqual({ incarnation: 1, timeline: 1, lsn: at });
});

test('a place on the boundary lies in the segment before', () => {
  const boundary = [{ parent: 1, at: BigInt(size) * 4n }];
  expect(findParent(cluster(first), 2, boundary, undefined)).toMatchObject({ incarnation: 1 });
});

test('two that store it, or none, are refused until one is named', () => {
  const twin = incarnation(2, [[1, 3]]);
  expect(() => findParent(cluster(first, twin), 2, history, undefined)).toThrow(
    'more than one incarnation stores timeline 1 at 0/3000C8',
  );
  expect(findParent(cluster(first, twin), 2, history, 2)).toMatchObject({ incarnation: 2 });
  const none = incarnation(1, []);
  expect(() => findParent(cluster(none), 2, history, undefined)).toThrow('no incarnation stores timeline 1');
  expect(findParent(cluster(none), 2, history, 1)).toMatchObject({ incarnation: 1 });
});

test('one that is named and does not exist is refused', () => {
  expect(() => findParent(cluster(first), 2, history, 9)).toThrow(
    'the repository has no incarnation 9 of this cluster',
  );
});

test('a clone without a history is refused', () => {
  expect(() => findParent(cluster(first), 1, [], undefined)).toThrow('is a clone of its original');
});
