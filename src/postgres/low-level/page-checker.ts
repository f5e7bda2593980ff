import { isPageSound, pageChecksum, type PageLayout } from './page-checksum.ts';

/** A relation's file while it is read. */
export interface CheckedFile {
  readonly path: string;
  /** Which of the relation's files it is: the second is 1. */
  readonly number: number;
  /** Reads a page once more; shorter when the file has been cut meanwhile. */
  readonly reread: (at: number) => Promise<Buffer>;
}

const toldPerFile = 5;

/**
 * Compares pages with their checksums while they are read, as the server does for `BASE_BACKUP`: a page that is wrong is read
 * once more, as its first half may have been read before the server wrote it and the second after.
 *
 * Source: sendFile in PostgreSQL's basebackup.c.
 */
export class PageChecker {
  readonly #layout: PageLayout;
  readonly #startLsn: bigint;
  readonly #warn: (text: string) => void;
  #bad = 0;

  constructor(layout: PageLayout, startLsn: bigint, warn: (text: string) => void) {
    this.#layout = layout;
    this.#startLsn = startLsn;
    this.#warn = warn;
  }

  get pageBytes(): number {
    return this.#layout.pageBytes;
  }

  /** How many pages are wrong. */
  get badPages(): number {
    return this.#bad;
  }

  /** Checks the pages of a stretch of a file; what was read again takes the place of what was read first. Tells how many are wrong. */
  async check(file: CheckedFile, stretch: Buffer, at: number, badBefore: number): Promise<number> {
    const { pageBytes, pagesPerFile } = this.#layout;
    if (stretch.byteLength % pageBytes !== 0) {
      this.#warn(`the checksums of "${file.path}" could not be verified: it does not end with a page`);
    }
    let bad = badBefore;
    for (let from = 0; from + pageBytes <= stretch.byteLength; from += pageBytes) {
      const page = stretch.subarray(from, from + pageBytes);
      const block = file.number * pagesPerFile + (at + from) / pageBytes;
      if (isPageSound(page, block, this.#startLsn)) continue;
      const again = await file.reread(at + from);
      if (again.byteLength < pageBytes) continue; // Cut off meanwhile: WAL tells recovery.
      again.copy(page);
      if (isPageSound(page, block, this.#startLsn)) continue;
      bad += 1;
      if (bad <= toldPerFile) this.#tell(file.path, block, page);
    }
    this.#bad += bad - badBefore;
    return bad;
  }

  #tell(path: string, block: number, page: Buffer): void {
    const hex = (value: number) => value.toString(16).toUpperCase();
    this.#warn(
      `checksum verification failed in file "${path}", block ${block}: ` +
        `calculated ${hex(pageChecksum(page, block))} but expected ${hex(page.readUInt16LE(8))}`,
    );
  }
}
