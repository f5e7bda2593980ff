import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { endBefore, endOfRecord, formatLsn, lsnSchema, parseLsn, readLsn } from '../../src/core/lsn.ts';

const lsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const segmentSize = fc.constantFrom(2 ** 20, 2 ** 24, 2 ** 30);

test.each([
  ['0/0', 0n],
  ['0/1', 1n],
  ['16/B374D848', 0x16_b374_d848n],
  ['16/b374d848', 0x16_b374_d848n],
  ['FFFFFFFF/FFFFFFFF', 2n ** 64n - 1n],
  ['0/00000028', 40n],
])('%s is byte %i', (text, bytes) => {
  expect(readLsn(text)).toBe(bytes);
  expect(parseLsn(text)).toBe(bytes);
});

test.each(['', '/', '0', '0/', '/0', '0/0/0', 'G/0', '0/123456789', '123456789/0', ' 0/0', '0/0\n', '-1/0', '0x1/0'])(
  '"%s" is no LSN',
  (text) => {
    expect(readLsn(text)).toBeUndefined();
    expect(() => parseLsn(text)).toThrow(expect.objectContaining({ kind: 'damaged' }));
  },
);

test('every LSN survives text and JSON', () => {
  fc.assert(
    fc.property(lsn, (value) => {
      expect(readLsn(formatLsn(value))).toBe(value);
      expect(lsnSchema.decode(lsnSchema.encode(value))).toBe(value);
    }),
  );
});

test('a damaged LSN is our failure by name', () => {
  try {
    parseLsn('x');
  } catch (error) {
    expect(isFailure(error, 'damaged') && error.message).toContain('"x"');
  }
});

const page = 8192n;

test.each<[string, bigint, number, bigint]>([
  ['within a page', 0x100n, 24, 0x118n],
  ['aligned up to eight', 0x100n, 26, 0x120n],
  ['filling its page', page - 32n, 32, page],
  ['into the next page, past its header of 24', page - 8n, 32, page + 24n + 24n],
  ['into the next segment, past its header of 40', 0x10_0000n - 8n, 32, 0x10_0000n + 40n + 24n],
  ['over two pages', page - 8n, 8 + 8168 + 8, 2n * page + 24n + 8n],
])('a record %s ends where PostgreSQL says', (_name, start, length, end) => {
  expect(endOfRecord(start, length, 2 ** 20)).toBe(end);
});

test('the record after any record begins where the one before ended', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 1n, max: 2n ** 40n }),
      fc.integer({ min: 24, max: 100_000 }),
      segmentSize,
      (at, length, size) => {
        const start = firstPlace(at * 8n, size);
        const end = endOfRecord(start, length, size);

        expect(end % 8n).toBe(0n);
        expect(end - start).toBeGreaterThanOrEqual(BigInt(length));
        expect(endBefore(firstPlace(end, size), size)).toBe(end);
      },
    ),
  );
});

/** Where a record can begin at or after an LSN: not in a page's header. */
function firstPlace(at: bigint, size: number): bigint {
  if (at % page !== 0n) {
    const header = at % BigInt(size) < page ? 40n : 24n;
    return at % page < header ? at - (at % page) + header : at;
  }
  return at + (at % BigInt(size) === 0n ? 40n : 24n);
}
