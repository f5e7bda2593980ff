import { expect, test } from 'vitest';
import { backupId, backupIdPattern, instantSchema } from '../../src/core/backup.ts';
import { exitCodes, Failure, isFailure, toFailure } from '../../src/core/failure.ts';
import { lineage, standing, type Incarnation } from '../../src/core/incarnation.ts';

function incarnation(number: number, ownerId: string, parent?: number): Incarnation {
  const link = parent === undefined ? null : { incarnation: parent, timeline: 1, lsn: 5n };
  return {
    number,
    owner: { format: 1, ownerId, model: 'm', application: 'a', unit: 'u', since: new Date(0), parent: link },
  };
}

const all = [incarnation(1, 'a'), incarnation(2, 'b', 1), incarnation(3, 'a', 2)];

test.each<[string, string | undefined, number | undefined, readonly Incarnation[], string]>([
  ['nothing is known of the cluster', 'a', 1, [], 'none'],
  ['it holds what it claimed', 'a', 1, all, 'owner'],
  ['it holds an older one while a child was claimed by somebody else', 'a', 1, all.slice(0, 2), 'owner'],
  ["it says it holds another's", 'a', 2, all, 'copy'],
  ['it has no state of its own', undefined, undefined, all, 'copy'],
  ['it has an id and claimed nothing', 'a', undefined, all, 'copy'],
  ['its claim is not in the repository', 'a', 9, all, 'copy'],
])("a cluster's standing when %s", (_name, ownerId, claimed, incarnations, is) => {
  expect(standing(ownerId, claimed, incarnations).is).toBe(is);
});

test('a lineage goes from an incarnation to its oldest known ancestor, and ends even in a circle', () => {
  expect(lineage(3, all).map(({ number }) => number)).toEqual([3, 2, 1]);
  expect(lineage(3, all.slice(2)).map(({ number }) => number)).toEqual([3]);
  expect(lineage(7, all)).toEqual([]);
  expect(lineage(1, [incarnation(1, 'a', 2), incarnation(2, 'a', 1)]).length).toBeLessThanOrEqual(2);
});

test("a backup's id sorts by its start and becomes a folder", () => {
  const ids = ['2026-11-24T02:03:04.999Z', '2026-11-24T02:03:05Z', '2027-01-01T00:00:00Z'].map((at) =>
    backupId(new Date(at), '3f9a1c'),
  );

  expect(ids[0]).toBe('20261124T020304Z-3f9a1c');
  expect(ids.toSorted()).toEqual(ids);
  expect(ids.every((id) => backupIdPattern.test(id))).toBe(true);
  expect(
    ['../x', '20261124T020304Z', '20261124T020304Z-3F9A1C', '20261124T020304Z-3f9a1c/x'].some((id) =>
      backupIdPattern.test(id),
    ),
  ).toBe(false);
});

test('an instant is UTC in JSON and survives it to the millisecond', () => {
  const at = new Date('2026-11-24T02:03:04.567Z');

  expect(instantSchema.encode(at)).toBe('2026-11-24T02:03:04.567Z');
  expect(instantSchema.decode('2026-11-24T02:03:04.567Z')).toEqual(at);
  expect(instantSchema.safeDecode('2026-11-24 02:03').success).toBe(false);
});

test('every kind of failure has an exit code of its own, and none is success', () => {
  const codes = Object.values(exitCodes);

  expect(new Set(codes).size).toBe(codes.length);
  expect(codes.every((code) => code >= 1 && code <= 125)).toBe(true);
});

test('a failure keeps kind, hint and cause; what is none becomes our own fault', () => {
  const cause = new Error('below');
  const failure = new Failure('missing', 'x is not there', { hint: 'Look.', cause });

  expect([toFailure(failure), failure.kind, failure.hint, failure.cause]).toEqual([failure, 'missing', 'Look.', cause]);
  expect([
    isFailure(failure),
    isFailure(failure, 'missing', 'damaged'),
    isFailure(failure, 'damaged'),
    isFailure(cause),
  ]).toEqual([true, true, false, false]);
  expect(toFailure(cause)).toMatchObject({ kind: 'internal', message: 'below', cause });
  expect(toFailure('text')).toMatchObject({ kind: 'internal', message: 'text' });
});
