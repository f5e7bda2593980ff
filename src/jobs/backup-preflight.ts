import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { archiveCommand, isOurCommand } from '../core/archiving-decision.ts';
import { backupSchema } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import { segmentEndingAt } from '../core/wal-name.ts';
import { readEffective } from '../postgres/archiving-facts.ts';
import { identifySystem, type BackupWay } from '../postgres/backup-way.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { readControlData, type ControlData } from '../postgres/control-data.ts';
import { withConnection, type Connection } from '../postgres/query.ts';
import { readArchiverCounts, switchSegment } from '../postgres/segment-switch.ts';
import { readServerFacts, type ServerFacts } from '../postgres/server-facts.ts';
import { layout, type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import type { UnitFolder } from '../system/home.ts';
import { explainStream, isStreaming, streamActivity } from './stream-facts.ts';
import { awaitSegments, type ArrivalWatch } from './wal-arrival.ts';

/** What the checks before a backup have found. */
export interface Preflight extends ServerFacts {
  readonly control: ControlData;
  readonly timeline: number;
  /** How base backups are taken; a rule of pg_hba.conf that comes or goes changes it. */
  readonly way: BackupWay;
}

const oldest = 90_500;
/** Until a backup tells how well a cluster compresses, half its size must fit. */
const unknownRatio = 0.5;
const margin = 1.1;

/**
 * Proves that a backup can begin: the server runs, is the cluster that is owned, is no standby, is a version we know, and
 * lets this user take backups in one of two ways. Nothing is changed.
 */
export async function checkServer(cluster: Cluster, place: Place): Promise<Preflight> {
  const facts = await withConnection(cluster, readServerFacts);
  if (facts.versionNumber < oldest) {
    throw new Failure('refused', `the cluster ${cluster.label} is of a PostgreSQL older than 9.5`);
  }
  if (facts.isInRecovery) {
    throw new Failure('refused', `the cluster ${cluster.label} is in recovery: a standby, or a restore under way`, {
      hint: 'Take the backup on the primary.',
    });
  }
  const { systemIdentifier, timeline, way } = await identifySystem(cluster);
  if (systemIdentifier !== place.systemIdentifier) {
    throw new Failure(
      'refused',
      `the cluster ${cluster.label} is ${systemIdentifier}, this unit owns ${place.systemIdentifier}`,
      {
        hint: 'Was the cluster made anew? landscape-backup status says how to go on.',
      },
    );
  }
  const control = await readControlData(cluster.binaries, cluster.dataDirectory);
  return { ...facts, control, timeline, way };
}

/** Fails with `unavailable` when the destination has less room than a backup of this size probably needs. */
export async function checkRoom(repository: Repository, place: Place, databaseBytes: number): Promise<void> {
  const free = await repository.storage.freeBytes();
  if (free === undefined) return;
  const ratio = await knownRatio(repository, place);
  const needed = Math.round(databaseBytes * Math.min(ratio ?? unknownRatio, 1) * margin);
  if (free >= needed) return;
  const how = ratio === undefined ? 'half its size' : 'by how well the last backup compressed';
  throw new Failure(
    'unavailable',
    `the destination ${repository.storage.url} has ${megabytes(free)} free; a backup of ${megabytes(databaseBytes)} needs about ${megabytes(needed)} (${how})`,
    { hint: 'Make room there, or let landscape-backup prune take what the retention options no longer keep.' },
  );
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_000_000)} MB`;
}

/** How well a backup of this incarnation compressed; whichever is read, it is only a guess. */
async function knownRatio(repository: Repository, place: Place): Promise<number | undefined> {
  for (const folder of (await repository.storage.folders(layout.base(place))).toReversed()) {
    const backup = await repository
      .readJson(layout.backupRecord(place, folder.slice(0, -1)), backupSchema)
      .catch(() => undefined);
    if (backup !== undefined && backup.plainBytes > 0) return backup.storedBytes / backup.plainBytes;
  }
  return undefined;
}

/** Fails with `refused` unless the running server sends its WAL through our program to this unit, or keeps it for our stream. */
export async function checkArchivingIsOurs(connection: Connection, cluster: Cluster, unit: UnitFolder): Promise<void> {
  if (await isStreaming({ cluster, unit })) return;
  const effective = await readEffective(connection);
  const mode = effective.get('archive_mode')?.value ?? '';
  const command = effective.get('archive_command')?.value ?? '';
  const library = effective.get('archive_library')?.value ?? '';
  const ending = archiveCommand('', unit.path).replace(/^'\/bin\/archive-wal'/, '');
  if (mode !== 'off' && library === '' && isOurCommand(command) && command.endsWith(ending)) return;
  const settings = `archive_mode is "${mode}", archive_command is "${command}"${library === '' ? '' : `, archive_library is "${library}"`}`;
  throw new Failure('refused', `the cluster ${cluster.label} does not send its WAL to this repository: ${settings}`, {
    hint: 'landscape-backup check says what is missing; with wal-archiving: false a backup carries its own WAL.',
  });
}

/** What proving and awaiting WAL needs. */
export interface ArchivingProbe {
  readonly repository: Repository;
  readonly place: Place;
  readonly cluster: Cluster;
  readonly unit: UnitFolder;
  readonly found: Preflight;
  readonly stallMs: number;
  readonly signal: AbortSignal;
  readonly report: (missing: number) => void;
}

/**
 * Makes the server finish a segment and waits until it is stored: where archiving is broken, a copy of gigabytes is not
 * begun. Fails with `unavailable` and with what PostgreSQL says about it.
 */
export async function proveArchiving(probe: ArchivingProbe): Promise<void> {
  const { repository, place, cluster, found } = probe;
  const ended = await withConnection(
    cluster,
    async (connection) => await switchSegment(connection, found.versionNumber),
  );
  const { segmentSize } = found.control;
  const number = segmentEndingAt(ended, segmentSize);
  const wanted = { timeline: found.timeline, first: number, last: number, segmentSize };
  await awaitSegments(repository, place, wanted, watchArchiver(probe));
}

/** Watches PostgreSQL's archiver while segments are awaited. */
export function watchArchiver({ cluster, unit, found, stallMs, signal, report }: ArchivingProbe): ArrivalWatch {
  const counts = async () => await withConnection(cluster, readArchiverCounts);
  return {
    stallMs,
    signal,
    report,
    activity: async () => `${(await counts()).archived} ${await streamActivity({ cluster, unit })}`,
    explain: async () => {
      const stream = await explainStream({ cluster, unit });
      if (stream !== undefined) return stream;
      const { failed, failedName, failedAt } = await counts();
      const failures =
        failed === 0
          ? 'PostgreSQL counts no failure of archive_command'
          : `archive_command has failed ${failed} times, last for ${failedName ?? '?'} at ${failedAt?.toISOString() ?? '?'}`;
      return `${failures}; ${await waitingFiles(cluster, found.versionNumber)} files wait to be archived`;
    },
  };
}

/** How many files PostgreSQL has marked for archiving. */
async function waitingFiles(cluster: Cluster, versionNumber: number): Promise<number> {
  const wal = versionNumber < 100_000 ? 'pg_xlog' : 'pg_wal';
  const names = await readdir(join(cluster.dataDirectory, wal, 'archive_status'));
  return names.filter((name) => name.endsWith('.ready')).length;
}
