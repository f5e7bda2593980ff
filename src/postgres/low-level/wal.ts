import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../core/failure.ts';
import { readWalName, segmentEndingAt, segmentName, segmentOf } from '../../core/wal-name.ts';
import type { BackupTar } from './tar.ts';
import { unlessGone } from './walk.ts';
import type { WalPosition } from '../base-backup-query.ts';
import { readControlData } from '../control-data.ts';

/** Which WAL a backup carries. */
export interface WalRequest {
  readonly root: string;
  readonly directory: string;
  /** The directory's name in the tar. */
  readonly prefix: string;
  readonly start: WalPosition;
  readonly end: WalPosition;
  readonly binaries: string;
}

/**
 * The WAL from a backup's start to its end as members of its tar, with the histories of its timelines, all marked as
 * archived: who restores from it sends none of it anywhere. Source: perform_base_backup in PostgreSQL's basebackup.c.
 */
export async function* walForBackup(tar: BackupTar, request: WalRequest): AsyncIterable<Uint8Array> {
  const { root, directory, start, end, binaries } = request;
  const { segmentSize } = await readControlData(binaries, root);
  const last = segmentEndingAt(end.lsn, segmentSize);
  for (let number = segmentOf(start.lsn, segmentSize); number <= last; number += 1) {
    yield* member(tar, request, segmentName(start.timeline, number, segmentSize), segmentSize);
  }
  for (const name of await readdir(directory)) {
    if (readWalName(name)?.kind === 'history') yield* member(tar, request, name, undefined);
  }
}

async function* member(
  tar: BackupTar,
  { directory, prefix }: WalRequest,
  name: string,
  sizeBytes: number | undefined,
): AsyncIterable<Uint8Array> {
  const file = join(directory, name);
  const stats = await unlessGone(file, async () => await lstat(file));
  if (stats !== undefined && (sizeBytes === undefined || stats.size === sizeBytes)) {
    const source = { file, name: `${prefix}/${name}`, listed: null, stats, relationNumber: undefined };
    if (yield* tar.file(source)) {
      yield* tar.contents(`${prefix}/archive_status/${name}.done`, Buffer.alloc(0), stats, false);
      return;
    }
  }
  throw new Failure('postgres', `the WAL file ${name}, which the backup needs, has already been removed`, {
    hint: 'Raise max_replication_slots by one (10 and later) or wal_keep_size (wal_keep_segments before 13), or turn wal-archiving on.',
  });
}
