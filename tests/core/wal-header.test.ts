import { expect, test } from 'vitest';
import { majorOfMagic, readWalHeader, walHeaderFault, type WalHeader } from '../../src/core/wal-header.ts';
import { parseWalName } from '../../src/core/wal-name.ts';

const system = '7300000000000000001';

function header(
  change: { magic?: number; flags?: number; timeline?: number; address?: bigint; size?: number } = {},
): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.writeUInt16LE(change.magic ?? 0xd110, 0);
  bytes.writeUInt16LE(change.flags ?? 2, 2);
  bytes.writeUInt32LE(change.timeline ?? 1, 4);
  bytes.writeBigUInt64LE(change.address ?? 0x300_0000n, 8);
  bytes.writeBigUInt64LE(BigInt(system), 24);
  bytes.writeUInt32LE(change.size ?? 2 ** 24, 32);
  bytes.writeUInt32LE(8192, 36);
  return bytes;
}

function read(bytes: Uint8Array): WalHeader {
  const found = readWalHeader(bytes);
  if (typeof found === 'string') throw new Error(found);
  return found;
}

test('a header is read, wherever it lies in a buffer', () => {
  const shifted = Buffer.concat([Buffer.from('123'), header()]).subarray(3);

  expect(read(shifted)).toEqual({
    magic: 0xd110,
    timeline: 1,
    pageAddress: 0x300_0000n,
    systemIdentifier: system,
    segmentSize: 2 ** 24,
  });
});

test.each([
  ['short', header().subarray(0, 39), 'only 39 bytes'],
  ['empty', Buffer.alloc(0), 'only 0 bytes'],
  ['zeros', Buffer.alloc(40), 'magic 0000'],
  ['of an unknown version', header({ magic: 0xd199 }), 'magic d199'],
  ['without a long header', header({ flags: 1 }), 'no long header'],
  ['with an impossible segment size', header({ size: 12_345 }), '12345 bytes'],
])('bytes that are %s are no header', (_name, bytes, why) => {
  expect(readWalHeader(bytes)).toContain(why);
});

test.each([
  [0xd087, '9.5'],
  [0xd093, '9.6'],
  [0xd097, '10'],
  [0xd098, '11'],
  [0xd101, '12'],
  [0xd106, '13'],
  [0xd10d, '14'],
  [0xd110, '15'],
  [0xd113, '16'],
  [0xd116, '17'],
  [0xd118, '18'],
])('the magic %i is that of %s', (magic, major) => {
  expect(majorOfMagic(magic)).toBe(major);
});

const whole = { sizeBytes: 2 ** 24, systemIdentifier: system };

function fault(
  name: string,
  bytes: Buffer,
  file: { sizeBytes: number; systemIdentifier?: string } = whole,
): string | undefined {
  const wal = parseWalName(name);
  if (wal.kind !== 'segment' && wal.kind !== 'partial') throw new Error(name);
  return walHeaderFault(wal, read(bytes), file);
}

test.each([
  ['a segment', '000000010000000000000003', header()],
  ['a partial one', '000000010000000000000003.partial', header()],
  ["the first after a promotion, with its parent's page", '000000020000000000000003', header()],
  ['one in the second log', '000000010000000100000003', header({ address: 0x1_0300_0000n })],
])('%s has no fault', (_name, name, bytes) => {
  expect(fault(name, bytes)).toBeUndefined();
});

test.each([
  ['cut', '000000010000000000000003', header(), { ...whole, sizeBytes: 2 ** 24 - 1 }, 'bytes long'],
  [
    'of another cluster',
    '000000010000000000000003',
    header(),
    { ...whole, systemIdentifier: '1' },
    `belongs to the cluster ${system}`,
  ],
  [
    'another segment',
    '000000010000000000000004',
    header(),
    whole,
    'its first page is 0/3000000, by its name it would be 0/4000000',
  ],
  ['of a later timeline', '000000010000000000000003', header({ timeline: 2 }), whole, 'of timeline 2, above the 1'],
  ['named as no segment of this size', '000000010000000000000103', header(), whole, 'uses this name'],
])('a file that is %s has a fault, said with its values', (_name, name, bytes, file, why) => {
  expect(fault(name, bytes, file)).toContain(why);
});

test('without a known cluster the system identifier is not compared', () => {
  expect(fault('000000010000000000000003', header(), { sizeBytes: 2 ** 24 })).toBeUndefined();
});
