import { expect, test } from 'vitest';
import { stillNeeded, stricter, type NeededBackup } from '../../src/core/needed-backup.ts';

const need = (incarnation: number, after: bigint): NeededBackup => ({
  format: 1,
  reason: 'hole',
  since: new Date('2026-11-24T02:00:00Z'),
  why: 'a test',
  incarnation,
  after,
});

test.each([
  ['no backup at all', need(1, 100n), [], true],
  ['a backup that starts before', need(1, 100n), [{ incarnation: 1, startLsn: 99n }], true],
  ['a backup that starts there', need(1, 100n), [{ incarnation: 1, startLsn: 100n }], false],
  ['a later backup of an earlier incarnation', need(2, 100n), [{ incarnation: 1, startLsn: 900n }], true],
  ['a backup of a later incarnation', need(1, 100n), [{ incarnation: 2, startLsn: 50n }], false],
])('%s leaves it needed or not', (_, needed, backups, expected) => {
  expect(stillNeeded([needed], backups)).toEqual(expected ? [needed] : []);
});

test('of two facts the one stays whose backup answers both', () => {
  const [low, high, next] = [need(1, 100n), need(1, 200n), need(2, 50n)];
  expect(stricter(low, high)).toBe(high);
  expect(stricter(high, low)).toBe(high);
  expect(stricter(high, next)).toBe(next);
});
