/** How a relation's pages are laid out, as the server tells it. */
export interface PageLayout {
  readonly pageBytes: number;
  /** Pages in one file of a relation; the next one goes on in `<name>.1`. */
  readonly pagesPerFile: number;
}

const lanes = 32;
const prime = 16_777_619;
const baseOffsets = Int32Array.from([
  0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c, 0xf8d4474f,
  0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb, 0xe58f764b, 0x187636bc,
  0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4, 0x783125bb, 0x6ca8eaa2, 0xe407eac6,
  0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756,
]);
const sums = new Int32Array(lanes);
/** Checksum and flags share the third word of a page: the checksum counts as zero. */
const checksumWord = 2;

/** The checksum that a page should carry. Source: pg_checksum_page in PostgreSQL's checksum_impl.h. */
export function pageChecksum(page: Buffer, blockNumber: number): number {
  const words = wordsOf(page);
  sums.set(baseOffsets);
  for (let at = 0; at < words.length; at += lanes) {
    for (let lane = 0; lane < lanes; lane += 1) {
      const word = words[at + lane] ?? 0;
      const mixed = (sums[lane] ?? 0) ^ (at + lane === checksumWord ? word & ~0xffff : word);
      sums[lane] = Math.imul(mixed, prime) ^ (mixed >>> 17);
    }
  }
  let result = blockNumber | 0;
  for (let lane = 0; lane < lanes; lane += 1) {
    let sum = sums[lane] ?? 0;
    for (let round = 0; round < 2; round += 1) sum = Math.imul(sum, prime) ^ (sum >>> 17);
    result ^= sum;
  }
  return ((result >>> 0) % 65_535) + 1;
}

/**
 * Tells whether a page is as it was written, or need not be: a new page has no checksum, and one that was written since the
 * backup began may be torn and comes whole from the WAL. Source: sendFile in PostgreSQL's basebackup.c.
 */
export function isPageSound(page: Buffer, blockNumber: number, startLsn: bigint): boolean {
  if (page.readUInt16LE(14) === 0) return true;
  const lsn = (BigInt(page.readUInt32LE(0)) << 32n) | BigInt(page.readUInt32LE(4));
  return lsn >= startLsn || page.readUInt16LE(8) === pageChecksum(page, blockNumber);
}

function wordsOf(page: Buffer): Int32Array {
  if (page.byteOffset % 4 === 0) return new Int32Array(page.buffer, page.byteOffset, page.byteLength / 4);
  return new Int32Array(Uint8Array.from(page).buffer);
}
