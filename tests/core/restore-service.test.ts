import { expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { plannedAfter, servedFrom, type RestoreService } from '../../src/core/restore-service.ts';
import { parseWalName } from '../../src/core/wal-name.ts';

const service: RestoreService = {
  repositoryId: 'a',
  url: 'file:///srv/backup',
  systemIdentifier: '1',
  segmentSize: 16 * 1024 * 1024,
  segments: [
    { timeline: 1, first: 5, last: 9, incarnation: 1 },
    { timeline: 1, first: 12, last: 300, incarnation: 1 },
    { timeline: 2, first: 300, last: 310, incarnation: 2 },
  ],
  histories: [{ timeline: 2, incarnation: 2 }],
};

test.for([
  ['000000010000000000000005', 1],
  ['000000010000000000000009', 1],
  ['000000010000000100000000', 1],
  ['00000002000000010000002C', 2],
  ['00000002.history', 2],
] as const)('the plan serves %s from incarnation %i', ([name, incarnation]) => {
  expect(servedFrom(service, parseWalName(name))?.incarnation).toBe(incarnation);
});

test.for([
  '000000010000000000000004',
  '00000001000000010000002D',
  '00000002000000010000002B',
  '000000020000000100000037',
  '000000030000000000000005',
  '00000001.history',
  '00000003.history',
  '000000010000000000000005.partial',
])('the plan positively does without %s', (name) => {
  expect(servedFrom(service, parseWalName(name))).toBeUndefined();
});

test.for(['00000001000000000000000A', '00000001000000000000000B'])(
  'a plan with a hole never calls %s absent',
  (name) => {
    expect(() => servedFrom(service, parseWalName(name))).toThrow(`the plan has a hole at ${name}`);
  },
);

test('a name that no cluster with these segments uses is a fault and not absent', () => {
  let thrown: unknown;
  try {
    servedFrom(service, parseWalName('000000010000000000000100'));
  } catch (error) {
    thrown = error;
  }
  expect(isFailure(thrown, 'internal')).toBe(true);
});

test('what a plan serves comes in the order in which recovery asks, the newest timeline of a number first', () => {
  const names = (after: { number: number; timeline: number } | undefined, count: number) =>
    plannedAfter(service, after, count).map(({ name, incarnation }) => `${name} ${incarnation}`);

  expect(names(undefined, 2)).toEqual(['000000010000000000000005 1', '000000010000000000000006 1']);
  expect(names({ number: 9, timeline: 1 }, 1)).toEqual(['00000001000000000000000C 1']);
  expect(names({ number: 299, timeline: 1 }, 3)).toEqual([
    '00000002000000010000002C 2',
    '00000001000000010000002C 1',
    '00000002000000010000002D 2',
  ]);
  expect(names({ number: 300, timeline: 2 }, 1)).toEqual(['00000001000000010000002C 1']);
  expect(names({ number: 310, timeline: 2 }, 5)).toEqual([]);
});
