import { execa } from 'execa';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Backup } from '../../src/core/backup.ts';
import { segmentEndingAt, segmentName, segmentOf } from '../../src/core/wal-name.ts';
import { layout } from '../../src/repository/layout.ts';
import { readParts } from '../../src/repository/parts.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { readWal, walKeyIn } from '../../src/repository/wal-store.ts';
import type { ArchivedCluster } from './archived-cluster.ts';

/**
 * Fails unless a backup is all that its record says: every part with its bytes, tars that unpack to what PostgreSQL's
 * manifest lists, every segment from start to stop. Gives back the folder that it unpacked to, which goes
 * with the machine.
 */
export async function proveBackup(archived: ArchivedCluster, backup: Backup): Promise<string> {
  const { repository, cluster, machine } = archived;
  const folder = await mkdtemp(join(machine.root, 'data', 'proof-'));
  const base = join(folder, 'base');
  await mkdir(base, { mode: 0o700 });
  const prefix = layout.backup(backup, backup.id);
  const last = backup.archives.at(-1);
  if (last === undefined || last.oid !== null)
    throw new Error(`the data directory is not the last archive of ${backup.id}`);
  // The data directory first: what tablespaces unpack to lies inside it for pg_verifybackup.
  for (const archive of backup.archives.toReversed()) {
    const into = archive.oid === null ? base : join(base, 'pg_tblspc', String(archive.oid));
    await mkdir(into, { recursive: true, mode: 0o700 });
    const tar = execa('tar', ['-x', '--use-compress-program=zstd -dq', '-C', into, '-f', '-'], { stdin: 'pipe' });
    await pipeline(Readable.from(readParts(repository, prefix, archive.parts)), tar.stdin);
    await tar;
  }
  if (backup.manifest !== null) {
    const manifest = Readable.from(readParts(repository, prefix, [backup.manifest]));
    await pipeline(manifest, createWriteStream(join(base, 'backup_manifest')));
    await execa(join(cluster.binaries, 'pg_verifybackup'), [...(backup.withWal ? [] : ['--no-parse-wal']), base]);
  }
  if (!backup.withWal) await proveWal(repository, backup);
  return folder;
}

async function proveWal(repository: Repository, backup: Backup): Promise<void> {
  const { segmentSize, timeline } = backup;
  const last = segmentEndingAt(backup.stopLsn, segmentSize);
  for (let number = segmentOf(backup.startLsn, segmentSize); number <= last; number += 1) {
    const key = walKeyIn(repository, backup, segmentName(timeline, number, segmentSize));
    for await (const _chunk of readWal(repository, key));
  }
}
