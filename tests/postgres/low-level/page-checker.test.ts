import { describe, expect, test } from 'vitest';
import { PageChecker } from '../../../src/postgres/low-level/page-checker.ts';
import { pageChecksum } from '../../../src/postgres/low-level/page-checksum.ts';

const pageBytes = 8192;
const layout = { pageBytes, pagesPerFile: 131_072 };
const startLsn = 0x5000n;

/** A page with some contents that was written at an LSN, with its right checksum. */
function page(block: number, lsn: number, content: number): Buffer {
  const bytes = Buffer.alloc(pageBytes, content);
  bytes.writeUInt32LE(0, 0);
  bytes.writeUInt32LE(lsn, 4);
  bytes.writeUInt16LE(0, 10);
  bytes.writeUInt16LE(100, 12);
  bytes.writeUInt16LE(200, 14);
  bytes.writeUInt16LE(pageChecksum(bytes, block), 8);
  return bytes;
}

/** The second half of one page behind the first half of another. */
function torn(first: Buffer, second: Buffer): Buffer {
  return Buffer.concat([first.subarray(0, pageBytes / 2), second.subarray(pageBytes / 2)]);
}

interface Checked {
  readonly bad: number;
  readonly warnings: readonly string[];
  readonly rereads: readonly number[];
}

async function check(stretch: Buffer, again: Buffer, { number = 0, at = 0 } = {}): Promise<Checked> {
  const warnings: string[] = [];
  const rereads: number[] = [];
  const checker = new PageChecker(layout, startLsn, (text) => warnings.push(text));
  const reread = async (place: number) => {
    rereads.push(place);
    return again;
  };
  await checker.check({ path: 'base/1/2', number, reread }, stretch, at, 0);
  return { bad: checker.badPages, warnings, rereads };
}

describe('the pages of a file', () => {
  test('are sound when their checksums are those of their places in the relation', async () => {
    const stretch = Buffer.concat([page(131_074, 0x10, 1), page(131_075, 0x20, 2)]);

    const found = await check(stretch, Buffer.alloc(0), { number: 1, at: 2 * pageBytes });

    expect(found).toEqual({ bad: 0, warnings: [], rereads: [] });
  });

  test('are told when they lie in the wrong place', async () => {
    const wrong = page(7, 0x10, 1);

    expect(await check(wrong, wrong)).toMatchObject({ bad: 1, rereads: [0] });
  });

  test('are read once more when one was torn, and what was read then is kept', async () => {
    const [before, after] = [page(0, 0x10, 1), page(0, 0x20, 2)];
    const stretch = torn(before, after);

    const found = await check(stretch, after);

    expect(found).toEqual({ bad: 0, warnings: [], rereads: [0] });
    expect(stretch.equals(after)).toBe(true);
  });

  test('are bad when one is wrong twice', async () => {
    const stretch = Buffer.concat([page(0, 0x10, 1), torn(page(1, 0x10, 1), page(1, 0x20, 2))]);
    const bad = Buffer.from(stretch.subarray(pageBytes));

    expect(await check(stretch, bad)).toEqual({
      bad: 1,
      warnings: [expect.stringMatching(/^checksum verification failed in file "base\/1\/2", block 1: calculated/)],
      rereads: [pageBytes],
    });
  });

  test('need no checksum when they are new, or were written since the backup began', async () => {
    const late = page(0, Number(startLsn), 1);
    late.fill(9, 4000, 4100);

    expect(await check(Buffer.concat([Buffer.alloc(pageBytes), late]), late)).toMatchObject({ bad: 0, rereads: [] });
  });

  test('are passed over when the file was cut meanwhile', async () => {
    const stretch = torn(page(0, 0x10, 1), page(0, 0x20, 2));

    expect(await check(stretch, Buffer.alloc(0))).toMatchObject({ bad: 0, warnings: [], rereads: [0] });
  });

  test('are told five times for a file at most, and all counted', async () => {
    const stretch = Buffer.concat(Array.from({ length: 9 }, () => page(70, 0x10, 1)));

    const { bad, warnings } = await check(stretch, page(70, 0x10, 1));

    expect({ bad, told: warnings.length }).toEqual({ bad: 9, told: 5 });
  });
});
