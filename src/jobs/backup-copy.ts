import { availableParallelism } from 'node:os';
import type { BackupArchive, Part } from '../core/backup.ts';
import { formatBytes } from '../core/words.ts';
import { identifySystem } from '../postgres/backup-way.ts';
import { withBaseBackup, type BaseBackupEnd, type RunningBaseBackup } from '../postgres/base-backup.ts';
import type { BaseBackupRequest, Compression } from '../postgres/base-backup-command.ts';
import { withLowLevelBackup } from '../postgres/low-level/backup.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { compressed } from '../repository/compress.ts';
import { storeObject, storeParts } from '../repository/parts.ts';
import type { Repository } from '../repository/repository.ts';
import { usedUp } from '../system/memory.ts';
import { makeMeter, type ReportProgress } from './job-progress.ts';

/** Large enough that a backup of a terabyte is some thousand objects, small enough to be sent again. */
const partBytes = 256 * 1024 * 1024;
/** More threads gain little at the levels we use, and the server has other work. */
const mostWorkers = 4;

/** What a copy is made with. */
export interface CopyRequest {
  readonly cluster: Cluster;
  readonly versionNumber: number;
  readonly label: string;
  readonly withWal: boolean;
  readonly level: number;
  readonly repository: Repository;
  /** The backup's folder in the repository, with a slash at its end. */
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly report: ReportProgress;
}

/** What was stored. */
export interface Copied {
  readonly start: RunningBaseBackup['start'];
  readonly end: BaseBackupEnd;
  readonly archives: readonly BackupArchive[];
  readonly manifest: Part | null;
  readonly estimatedBytes: number;
  readonly compression: Compression;
}

/**
 * Streams a base backup from the server into the repository; all of it is stored, or this fails.
 *
 * Which way is asked now: pg_hba.conf may have been written anew since the checks.
 */
export async function copyCluster(request: CopyRequest): Promise<Copied> {
  const { cluster, versionNumber, label, withWal, level, signal } = request;
  const workers = Math.min(availableParallelism(), mostWorkers);
  const asked: BaseBackupRequest = { label, withWal, compression: { where: 'server', level, workers } };
  const { way } = await identifySystem(cluster);
  const take = way.is === 'replication' ? withBaseBackup : withLowLevelBackup;
  return await take(cluster, versionNumber, asked, signal, async (backup) => await store(request, backup));
}

async function store({ repository, folder, report }: CopyRequest, backup: RunningBaseBackup): Promise<Copied> {
  const estimatedBytes = backup.tablespaces.reduce((sum, { estimatedBytes: bytes }) => sum + bytes, 0);
  const tell = makeMeter('copying the cluster', estimatedBytes, () => performance.now(), report);
  let sent = 0;
  const metered = async function* (body: AsyncIterable<Uint8Array>) {
    for await (const chunk of body) {
      sent += chunk.byteLength;
      tell(backup.plainBytes(), `${formatBytes(sent)} sent`);
      yield chunk;
      usedUp(chunk.byteLength);
    }
  };
  const archives: BackupArchive[] = [];
  let manifest: Part | null = null;
  for await (const object of backup.objects) {
    if (object.kind === 'manifest') {
      manifest = await storeObject(repository, folder, 'backup_manifest', metered(object.body));
      continue;
    }
    const { oid, location } = object;
    const name = `${oid === null ? 'base' : oid}.tar.zst`;
    const { where, level } = backup.compression;
    const stored = metered(where === 'server' ? object.body : compressed(object.body, level));
    const parts = await storeParts(repository, folder, name, stored, partBytes);
    archives.push({ oid, location, parts: [...parts] });
  }
  const end = await backup.end();
  return { start: backup.start, end, archives, manifest, estimatedBytes, compression: backup.compression };
}
