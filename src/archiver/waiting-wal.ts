import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { readWalName, type WalName } from '../core/wal-name.ts';
import { errorCode } from '../system/files.ts';

/** Where PostgreSQL says which WAL files are to be archived (`.ready`) and which are (`.done`). */
export function statusFolder(dataDirectory: string): string {
  return join(dataDirectory, 'pg_wal', 'archive_status');
}

/** The WAL files that PostgreSQL wants archived, in the order in which it will ask: histories, then by name. */
export async function readWaiting(dataDirectory: string): Promise<readonly WalName[]> {
  const folder = statusFolder(dataDirectory);
  let names: readonly string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    throw new Failure('machine', `${folder} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  }
  const waiting = names.flatMap((name) => (name.endsWith('.ready') ? (readWalName(name.slice(0, -6)) ?? []) : []));
  // Source: PostgreSQL 15, pgarch.c, ready_file_comparator.
  return waiting.sort((a, b) => Number(b.kind === 'history') - Number(a.kind === 'history') || byName(a, b));
}

function byName(a: WalName, b: WalName): number {
  if (a.name === b.name) return 0;
  return a.name < b.name ? -1 : 1;
}
