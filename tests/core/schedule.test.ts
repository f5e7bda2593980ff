import { expect, test } from 'vitest';
import { lastScheduled, nextScheduled } from '../../src/core/schedule.ts';

const berlin = 'Europe/Berlin';
const daily = { expression: '30 2 * * *', zone: undefined };

test.each([
  ['a moment before', '2026-11-24T01:29:59.999Z', '2026-11-23T01:30:00.000Z'],
  ['at the moment', '2026-11-24T01:30:00.000Z', '2026-11-24T01:30:00.000Z'],
  ['a moment after', '2026-11-24T01:30:00.001Z', '2026-11-24T01:30:00.000Z'],
  ['on the day that has no 02:30, at its end of the gap', '2026-03-29T12:00:00.000Z', '2026-03-29T01:00:00.000Z'],
  ['on the day that has two, the first', '2026-10-25T00:30:00.000Z', '2026-10-25T00:30:00.000Z'],
  ['on the day that has two, still the first an hour later', '2026-10-25T01:45:00.000Z', '2026-10-25T00:30:00.000Z'],
])('the last time of a daily schedule, %s', (_when, now, expected) => {
  expect(lastScheduled(daily, new Date(now), berlin)?.toISOString()).toBe(expected);
});

test('a schedule with its own zone does not follow the host', () => {
  const own = { ...daily, zone: 'America/New_York' };

  expect(lastScheduled(own, new Date('2026-11-24T12:00:00Z'), berlin)?.toISOString()).toBe('2026-11-24T07:30:00.000Z');
  expect(nextScheduled(own, new Date('2026-11-24T12:00:00Z'), berlin)?.toISOString()).toBe('2026-11-25T07:30:00.000Z');
});

test('a leap day is found years back', () => {
  const leap = { expression: '0 0 29 2 *', zone: 'UTC' };

  expect(lastScheduled(leap, new Date('2026-11-24T12:00:00Z'), berlin)?.toISOString()).toBe('2024-02-29T00:00:00.000Z');
});
