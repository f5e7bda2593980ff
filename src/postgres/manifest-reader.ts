import { createHash } from 'node:crypto';
import { Failure } from '../core/failure.ts';
import { readManifestChecksum, readManifestLine, type ManifestRow } from './backup-manifest.ts';

/** A manifest that is read in step with the files that it speaks of; only a line of it is held. */
export class ManifestReader {
  readonly #rows: AsyncGenerator<ManifestRow, void>;
  #next: ManifestRow | undefined;
  #ended = false;

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#rows = readRows(body);
  }

  /** The row that is due; `undefined` after the last. */
  async peek(): Promise<ManifestRow | undefined> {
    if (this.#next === undefined && !this.#ended) {
      const { done, value } = await this.#rows.next();
      if (done === true) this.#ended = true;
      else this.#next = value;
    }
    return this.#next;
  }

  /**
   * Takes the row of a file. `undefined`: it may do without one, as the WAL that a backup carries does.
   *
   * Fails with `damaged` when another file is due.
   */
  async take(path: string): Promise<ManifestRow | undefined> {
    const row = await this.peek();
    if (row?.path === path) {
      this.#next = undefined;
      return row;
    }
    if (path.startsWith('pg_wal/')) return undefined;
    throw new Failure(
      'damaged',
      `the backup holds ${path} where its manifest has ${row === undefined ? 'nothing more' : row.path}`,
      { hint: 'Restore from another backup: landscape-backup list-backups.' },
    );
  }

  /** Reads to the end. Fails with `damaged` when rows are left, or when the manifest's own checksum is wrong. */
  async finish(): Promise<void> {
    const row = await this.peek();
    if (row !== undefined) throw new Failure('damaged', `the backup lacks ${row.path}, which its manifest has`);
  }

  /** Lets go of the manifest, read to its end or not. */
  async close(): Promise<void> {
    await this.#rows.return();
  }
}

async function* readRows(body: AsyncIterable<Uint8Array>): AsyncGenerator<ManifestRow, void> {
  const hash = createHash('sha256');
  let checksum: string | undefined;
  for await (const line of linesOf(body)) {
    checksum = readManifestChecksum(line.trimEnd());
    if (checksum !== undefined) break;
    hash.update(line);
    const row = readManifestLine(line);
    if (row !== undefined) yield row;
  }
  if (checksum === hash.digest('hex')) return;
  throw new Failure('damaged', "the backup's manifest is cut off or not the one that PostgreSQL wrote", {
    hint: 'Restore from another backup: landscape-backup list-backups.',
  });
}

/** Lines with their newline; the last may have none. */
async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', from)) {
      yield rest.slice(from, end + 1);
      from = end + 1;
    }
    rest = rest.slice(from);
  }
  if (rest !== '') yield rest;
}
