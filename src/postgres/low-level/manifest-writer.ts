import { createHash } from 'node:crypto';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { formatLsn, type Lsn } from '../../core/lsn.ts';
import type { ManifestRow } from '../backup-manifest.ts';

/** What a manifest says besides the files. */
export interface ManifestRange {
  readonly timeline: number;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
}

const batchBytes = 256 * 1024;

/**
 * A `backup_manifest` as PostgreSQL makes it, byte for byte but for the order of the files.
 *
 * It is sent after all files. Until then its lines are held compressed, about 30 bytes for a file.
 * Source: backup_manifest.c; its second format (17 and later) names the cluster.
 */
export class ManifestWriter {
  readonly #hash = createHash('sha256');
  readonly #batches: Buffer[] = [];
  #open: string[] = [];
  #openBytes = 0;
  #files = 0;

  constructor(version: 1 | 2, systemIdentifier: string) {
    const identity = version === 1 ? '' : `"System-Identifier": ${systemIdentifier},\n`;
    this.#write(`{ "PostgreSQL-Backup-Manifest-Version": ${version},\n${identity}"Files": [`);
  }

  /** Adds a file; the paths of a tablespace's begin with `pg_tblspc/<oid>/`. */
  add({ path, sizeBytes, crc }: ManifestRow, modifiedAt: Date): void {
    const checksum = Buffer.alloc(4);
    checksum.writeUInt32LE(crc); // As it lies in memory, least byte first.
    const when = `${modifiedAt.toISOString().slice(0, 19).replace('T', ' ')} GMT`;
    const row = [
      `"Path": ${JSON.stringify(path)}`,
      `"Size": ${sizeBytes}`,
      `"Last-Modified": "${when}"`,
      '"Checksum-Algorithm": "CRC32C"',
      `"Checksum": "${checksum.toString('hex')}"`,
    ];
    this.#write(`${this.#files === 0 ? '' : ','}\n{ ${row.join(', ')} }`);
    this.#files += 1;
  }

  /** Ends the manifest and gives it out. */
  *finish({ timeline, startLsn, endLsn }: ManifestRange): Iterable<Uint8Array> {
    const range = `{ "Timeline": ${timeline}, "Start-LSN": "${formatLsn(startLsn)}", "End-LSN": "${formatLsn(endLsn)}" }`;
    this.#write(`\n],\n"WAL-Ranges": [\n${range}\n],\n`);
    const ending = `"Manifest-Checksum": "${this.#hash.digest('hex')}"}\n`;
    for (const batch of this.#batches) yield zstdDecompressSync(batch);
    yield Buffer.from(this.#open.join('') + ending);
  }

  #write(text: string): void {
    this.#hash.update(text);
    this.#open.push(text);
    this.#openBytes += text.length;
    if (this.#openBytes < batchBytes) return;
    this.#batches.push(zstdCompressSync(this.#open.join('')));
    this.#open = [];
    this.#openBytes = 0;
  }
}
