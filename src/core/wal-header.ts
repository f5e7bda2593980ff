import { formatLsn, type Lsn } from './lsn.ts';
import { isSegmentSize, segmentNumber, segmentStart, type WalName } from './wal-name.ts';

/** How many bytes from the beginning of a segment hold its header. */
export const walHeaderLength = 40;

/** What the first page of a segment says about itself. */
export interface WalHeader {
  readonly magic: number;
  readonly timeline: number;
  readonly pageAddress: Lsn;
  readonly systemIdentifier: string;
  readonly segmentSize: number;
}

// Source: XLOG_PAGE_MAGIC in src/include/access/xlog_internal.h of each release.
const magicOfMajor: Readonly<Record<string, number>> = {
  '9.5': 0xd087,
  '9.6': 0xd093,
  '10': 0xd097,
  '11': 0xd098,
  '12': 0xd101,
  '13': 0xd106,
  '14': 0xd10d,
  '15': 0xd110,
  '16': 0xd113,
  '17': 0xd116,
  '18': 0xd118,
};

const longHeaderFlag = 0x0002;

/** The major version (`15`, `9.6`) that writes pages with this magic number; `undefined` for one that we don't know. */
export function majorOfMagic(magic: number): string | undefined {
  return Object.keys(magicOfMajor).find((major) => magicOfMajor[major] === magic);
}

/**
 * Reads the header of a segment's first page (little-endian, as on amd64 and arm64), or says why it is none.
 *
 * Source: XLogLongPageHeaderData in xlog_internal.h, the same from 9.5 to 18.
 */
export function readWalHeader(bytes: Uint8Array): WalHeader | string {
  if (bytes.byteLength < walHeaderLength) return `it is only ${bytes.byteLength} bytes long`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, walHeaderLength);
  const magic = view.getUint16(0, true);
  if (majorOfMagic(magic) === undefined) {
    return `its page magic ${magic.toString(16).padStart(4, '0')} belongs to no PostgreSQL from 9.5 to 18`;
  }
  if ((view.getUint16(2, true) & longHeaderFlag) === 0) return 'its first page has no long header';
  const segmentSize = view.getUint32(32, true);
  if (!isSegmentSize(segmentSize)) return `its header claims a segment size of ${segmentSize} bytes`;
  return {
    magic,
    timeline: view.getUint32(4, true),
    pageAddress: view.getBigUint64(8, true),
    systemIdentifier: view.getBigUint64(24, true).toString(),
    segmentSize,
  };
}

/**
 * Says why these first bytes can't be the segment of that name, or `undefined` when they can.
 *
 * The page's timeline may be below the name's: the first segment after a promotion begins with its parent's pages.
 * Of a `.partial` and of a switched segment only the first page is known, so nothing else is looked at.
 */
export function walHeaderFault(
  name: Extract<WalName, { kind: 'segment' | 'partial' }>,
  header: WalHeader,
  file: { readonly sizeBytes: number; readonly systemIdentifier?: string | undefined },
): string | undefined {
  if (file.sizeBytes !== header.segmentSize) {
    return `it is ${file.sizeBytes} bytes long, a segment of this cluster is ${header.segmentSize}`;
  }
  if (file.systemIdentifier !== undefined && header.systemIdentifier !== file.systemIdentifier) {
    return `it belongs to the cluster ${header.systemIdentifier}, not to ${file.systemIdentifier}`;
  }
  const number = segmentNumber(name, header.segmentSize);
  if (number === undefined) return `no cluster with segments of ${header.segmentSize} bytes uses this name`;
  const expected = segmentStart(number, header.segmentSize);
  if (header.pageAddress !== expected) {
    return `its first page is ${formatLsn(header.pageAddress)}, by its name it would be ${formatLsn(expected)}`;
  }
  if (header.timeline > name.timeline) {
    return `its first page is of timeline ${header.timeline}, above the ${name.timeline} of its name`;
  }
  return undefined;
}
