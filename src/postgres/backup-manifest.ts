import * as z from 'zod';
import { Failure } from '../core/failure.ts';

const rowSchema = z.union([
  z.object({ Path: z.string(), Size: z.number().int(), Checksum: z.string() }),
  z.object({ 'Encoded-Path': z.string(), Size: z.number().int(), Checksum: z.string() }),
]);

/** One file as PostgreSQL's `backup_manifest` tells it. */
export interface ManifestRow {
  readonly path: string;
  readonly sizeBytes: number;
  /** CRC32C as a number. */
  readonly crc: number;
}

/**
 * Reads a line of a manifest: PostgreSQL puts every file on a line of its own. `undefined` for lines that speak of no file.
 *
 * Source: AddFileToBackupManifest in PostgreSQL's backup_manifest.c.
 */
export function readManifestLine(line: string): ManifestRow | undefined {
  if (!/^\{ "(Encoded-)?Path":/.test(line)) return undefined;
  const row = rowSchema.safeParse(parse(line.replace(/,\s*$/, '')));
  const algorithm = /"Checksum-Algorithm": "([^"]*)"/.exec(line)?.[1];
  if (!row.success || algorithm !== 'CRC32C' || !/^[0-9a-f]{8}$/.test(row.data.Checksum)) {
    throw new Failure('damaged', `the backup's manifest has a line that can't be understood: ${line.slice(0, 200)}`);
  }
  const path = 'Path' in row.data ? row.data.Path : Buffer.from(row.data['Encoded-Path'], 'hex').toString('utf8');
  // The checksum is written as its bytes lie in memory, least first.
  return { path, sizeBytes: row.data.Size, crc: Buffer.from(row.data.Checksum, 'hex').readUInt32LE(0) };
}

/** The manifest's own checksum, which stands on its last line and covers all before that; `undefined` on other lines. */
export function readManifestChecksum(line: string): string | undefined {
  return /^"Manifest-Checksum": "([0-9a-f]{64})"\}$/.exec(line)?.[1];
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
