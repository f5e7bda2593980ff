import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  historyName,
  isSegmentSize,
  parseWalName,
  readWalName,
  segmentEndingAt,
  segmentName,
  segmentNumber,
  segmentOf,
  segmentStart,
  timelineName,
} from '../../src/core/wal-name.ts';

test.each([
  ['000000010000000000000003', { kind: 'segment', timeline: 1, log: 0, low: 3 }],
  ['0000000A00000010000000FF', { kind: 'segment', timeline: 10, log: 16, low: 255 }],
  ['000000010000000000000003.partial', { kind: 'partial', timeline: 1, log: 0, low: 3 }],
  ['000000010000000000000003.00000028.backup', { kind: 'backup', timeline: 1, log: 0, low: 3, offset: 40 }],
  ['0000000B.history', { kind: 'history', timeline: 11 }],
])('%s is what it is', (name, expected) => {
  expect(readWalName(name)).toEqual({ name, ...expected });
});

test.each([
  '',
  '00000001',
  '00000000.history',
  '000000000000000000000003',
  '00000001000000000000000',
  '0000000100000000000000030',
  '00000001000000000000000g',
  '0000000a00000000000000ff',
  '000000010000000000000003.part',
  '000000010000000000000003.partial.gz',
  '000000010000000000000003.28.backup',
  '0000000100000000000000 3',
  '../000000010000000000000003',
  '000000010000000000000003\n',
  '1.history',
  'RECOVERYXLOG',
  '.history',
])('"%s" is no name of a WAL file', (name) => {
  expect(readWalName(name)).toBeUndefined();
  expect(() => parseWalName(name)).toThrow(
    expect.objectContaining({ kind: 'usage', message: expect.stringContaining(name) }),
  );
});

const size = fc.integer({ min: 20, max: 30 }).map((power) => 2 ** power);
const timeline = fc.integer({ min: 1, max: 2 ** 32 - 1 });
const lsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

test('every segment has one name, and the name gives it back', () => {
  fc.assert(
    fc.property(timeline, lsn, size, (line, at, bytes) => {
      const number = segmentOf(at, bytes);
      const name = readWalName(segmentName(line, number, bytes));

      expect(name).toMatchObject({ kind: 'segment', timeline: line });
      expect(name?.kind === 'segment' && segmentNumber(name, bytes)).toBe(number);
      const start = segmentStart(number, bytes);
      expect(start <= at && at < start + BigInt(bytes)).toBe(true);
      expect(readWalName(historyName(line))).toMatchObject({ kind: 'history', timeline: line });
      expect(timelineName(line)).toMatch(/^[0-9A-F]{8}$/);
    }),
  );
});

test('names sort as their segments do', () => {
  fc.assert(
    fc.property(lsn, lsn, size, (a, b, bytes) => {
      const [one, other] = [segmentOf(a, bytes), segmentOf(b, bytes)];
      expect(segmentName(1, one, bytes) < segmentName(1, other, bytes)).toBe(one < other);
    }),
  );
});

test('an end on a boundary belongs to the segment before', () => {
  const bytes = 2 ** 24;
  expect([0n, 1n, 0xff_ffffn, 0x100_0000n, 0x100_0001n].map((end) => segmentEndingAt(end, bytes))).toEqual([
    0, 0, 0, 0, 1,
  ]);
  expect(segmentOf(0x100_0000n, bytes)).toBe(1);
});

test('a name that no cluster with this segment size makes has no number', () => {
  expect(segmentNumber({ log: 0, low: 0xff }, 2 ** 24)).toBe(255);
  expect(segmentNumber({ log: 0, low: 0x100 }, 2 ** 24)).toBeUndefined();
  expect(segmentNumber({ log: 0, low: 0x100 }, 2 ** 20)).toBe(256);
  expect(segmentNumber({ log: 2, low: 1 }, 2 ** 30)).toBe(9);
});

test('segment sizes are the powers of two from 1 MiB to 1 GiB', () => {
  const sizes = Array.from({ length: 11 }, (_, power) => 2 ** (20 + power));
  expect(sizes.every((bytes) => isSegmentSize(bytes))).toBe(true);
  const others = [0, -1, 2 ** 19, 2 ** 31, 2 ** 20 + 1, 2 ** 30 - 1, 3 * 2 ** 20, Number.NaN];
  expect(others.some((bytes) => isSegmentSize(bytes))).toBe(false);
});
