import { backupSchema, type Backup } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import type { JournalRecord } from '../core/journal-record.ts';
import type { Settings } from '../core/settings.ts';
import { segmentEndingAt, segmentOf } from '../core/wal-name.ts';
import { archivingFile } from '../postgres/archiving-file.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { withConnection } from '../postgres/query.ts';
import { currentLsn } from '../postgres/reload.ts';
import { serverTime } from '../postgres/server-facts.ts';
import { readSettingsSnapshot } from '../postgres/settings-snapshot.ts';
import { takeLease, type LeaseHandle } from '../repository/leases.ts';
import { layout, type Place } from '../repository/layout.ts';
import { proveOwnership } from '../repository/ownership.ts';
import type { Repository } from '../repository/repository.ts';
import type { Clock } from '../system/clock.ts';
import { readOwnerState, type UnitFolder } from '../system/home.ts';
import type { Identity } from '../system/identity.ts';
import { copyCluster, type Copied } from './backup-copy.ts';
import {
  checkArchivingIsOurs,
  checkRoom,
  checkServer,
  proveArchiving,
  watchArchiver,
  type ArchivingProbe,
  type Preflight,
} from './backup-preflight.ts';
import { captureFileSet } from './file-set.ts';
import type { ReportProgress } from './job-progress.ts';
import { atUploadLimit } from './upload-limit.ts';
import { awaitSegments } from './wal-arrival.ts';

/** What a backup works with. The process runs as the cluster's owner. */
export interface BackupContext {
  readonly cluster: Cluster;
  readonly unit: UnitFolder;
  readonly settings: Settings;
  readonly repository: Repository;
  /** Whose configuration files they are. */
  readonly identity: Identity;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly progress: ReportProgress;
}

/** What may be chosen for one backup. */
export interface BackupOptions {
  /** For people; without one PostgreSQL and the repository call it by its id. */
  readonly label?: string | undefined;
  readonly trigger: JournalRecord['trigger'];
  /** How long nothing may move before WAL is given up, before the copy and after it. */
  readonly patience?: { readonly probeMs: number; readonly walMs: number };
}

const defaultPatience = { probeMs: 90_000, walMs: 600_000 };
const heartbeatMs = 300_000;

/** One run of a backup, step by step. */
export class BackupRun {
  readonly #context: BackupContext;
  /** The repository as parts and files are sent to it. */
  readonly #bulk: Repository;
  readonly #options: BackupOptions;
  readonly #job: string;
  readonly #id: string;
  readonly #timings: Record<string, number> = {};
  /** From here on the record may be there, whatever an error says, and its parts are never removed. */
  #recordTried = false;

  constructor(context: BackupContext, options: BackupOptions, job: string, id: string) {
    this.#context = context;
    this.#bulk = atUploadLimit(context.repository, context.settings);
    this.#options = options;
    this.#job = job;
    this.#id = id;
  }

  async run(): Promise<Backup> {
    const { cluster, repository } = this.#context;
    const place = await this.#phase('checking', async () => await this.#ownPlace());
    const found = await this.#phase('checking', async () => {
      repository.keys.recipients();
      const server = await checkServer(cluster, place);
      await checkRoom(repository, place, server.databaseBytes);
      await this.#checkArchiving();
      return server;
    });
    const fileSet = await this.#phase('keeping the configuration files', async () => await this.#keepFiles());
    const lease = await this.#takeLease(place, found.timeline);
    try {
      return await this.#protectedBy(lease, place, found, fileSet);
    } catch (error) {
      if (!this.#recordTried) await this.#removeParts(place);
      throw error;
    } finally {
      // It protects until it is ended or a day has passed; a destination that is gone only makes it the latter.
      await lease.end(this.#context.clock.now()).catch(() => undefined);
    }
  }

  async #protectedBy(lease: LeaseHandle, place: Place, found: Preflight, fileSet: string): Promise<Backup> {
    const { clock, settings } = this.#context;
    const heartbeat = setInterval(() => {
      // The next one says it too; a prune waits for a day before it takes silence for death.
      lease.beat(clock.now()).catch(() => undefined);
    }, heartbeatMs);
    try {
      if (settings.walArchiving)
        await this.#phase(
          'proving that WAL arrives',
          async () => await proveArchiving(this.#probe(place, found, 'probeMs')),
        );
      const startedAt = await withConnection(this.#context.cluster, serverTime);
      const copied = await this.#phase('copying the cluster', async () => await this.#copy(place, found));
      const stopped = {
        stoppedAt: await withConnection(this.#context.cluster, serverTime),
        stoppedAtHost: clock.now(),
      };
      if (settings.walArchiving)
        await this.#phase('waiting for WAL', async () => await this.#awaitWal(place, found, copied));
      const backup = { ...(await this.#describe(place, found, copied)), fileSet, startedAt, ...stopped };
      return await this.#phase('writing the record', async () => await this.#writeRecord(place, lease, backup));
    } finally {
      clearInterval(heartbeat);
    }
  }

  async #phase<T>(phase: string, work: () => Promise<T>): Promise<T> {
    if (this.#context.signal.aborted) throw new Failure('machine', 'the backup was stopped');
    this.#context.progress({ phase });
    const began = performance.now();
    try {
      return await work();
    } finally {
      this.#timings[phase] = (this.#timings[phase] ?? 0) + (performance.now() - began) / 1000;
    }
  }

  async #ownPlace(): Promise<Place> {
    const { cluster, unit, repository } = this.#context;
    const state = await readOwnerState(unit);
    if (state === undefined) {
      throw new Failure('refused', `this unit does not own the cluster ${cluster.label} in ${repository.storage.url}`, {
        hint: 'A new cluster: landscape-backup init. A restored one: landscape-backup take-over.',
      });
    }
    await proveOwnership(repository, state, state.ownerId);
    return { systemIdentifier: state.systemIdentifier, incarnation: state.incarnation };
  }

  async #checkArchiving(): Promise<void> {
    const { cluster, unit, settings } = this.#context;
    if (!settings.walArchiving) return;
    await withConnection(cluster, async (connection) => {
      await checkArchivingIsOurs(connection, cluster, unit);
    });
  }

  async #keepFiles(): Promise<string> {
    const { cluster, settings, clock, identity } = this.#context;
    const ours = archivingFile(cluster);
    const { set } = await captureFileSet({
      repository: this.#bulk,
      identity,
      paths: [cluster.configDirectory],
      isOurs: (path) => path === ours,
      level: settings.compressionLevel,
      now: clock.now(),
    });
    return set.id;
  }

  /** Before the first byte: where the WAL ends now is at or before where the backup will start. */
  async #takeLease(place: Place, timeline: number): Promise<LeaseHandle> {
    const { cluster, repository, clock } = this.#context;
    const lsn = await withConnection(cluster, currentLsn);
    const terms = {
      job: this.#job,
      kind: 'backup',
      holder: cluster.label,
      backups: [this.#id],
      from: { timeline, lsn },
    } as const;
    return await takeLease(repository, place, { by: 'owner' }, { ...terms, backups: [...terms.backups] }, clock.now());
  }

  #probe(place: Place, found: Preflight, patience: 'probeMs' | 'walMs'): ArchivingProbe {
    const { repository, cluster, unit, signal, progress } = this.#context;
    const stallMs = (this.#options.patience ?? defaultPatience)[patience];
    const phase = patience === 'probeMs' ? 'proving that WAL arrives' : 'waiting for WAL';
    const report = (missing: number) => {
      progress({ phase, note: `${missing} segments missing` });
    };
    return { repository, place, cluster, unit, found, stallMs, signal, report };
  }

  async #copy(place: Place, found: Preflight): Promise<Copied> {
    const { cluster, settings, signal, progress } = this.#context;
    const copied = await copyCluster({
      cluster,
      versionNumber: found.versionNumber,
      label: this.#options.label ?? this.#id,
      withWal: !settings.walArchiving,
      level: settings.compressionLevel,
      repository: this.#bulk,
      folder: layout.backup(place, this.#id),
      signal,
      report: progress,
    });
    if (copied.end.timeline === copied.start.timeline) return copied;
    throw new Failure('postgres', `the cluster ${cluster.label} changed its timeline while it was copied`, {
      hint: 'Take the backup again.',
    });
  }

  async #awaitWal(place: Place, found: Preflight, { start, end }: Copied): Promise<void> {
    const { segmentSize } = found.control;
    const first = segmentOf(start.lsn, segmentSize);
    const last = segmentEndingAt(end.lsn, segmentSize);
    const wanted = { timeline: start.timeline, first, last, segmentSize };
    await awaitSegments(this.#context.repository, place, wanted, watchArchiver(this.#probe(place, found, 'walMs')));
  }

  async #describe(place: Place, found: Preflight, copied: Copied) {
    const { cluster, settings } = this.#context;
    const { where, level } = copied.compression;
    const parts = [
      ...copied.archives.flatMap((archive) => archive.parts),
      ...(copied.manifest === null ? [] : [copied.manifest]),
    ];
    return {
      format: 1 as const,
      id: this.#id,
      label: this.#options.label ?? '',
      cluster: cluster.label,
      ...place,
      versionNumber: found.versionNumber,
      major: cluster.major,
      timeline: copied.start.timeline,
      segmentSize: found.control.segmentSize,
      startLsn: copied.start.lsn,
      stopLsn: copied.end.lsn,
      withWal: !settings.walArchiving,
      dataDirectory: found.dataDirectory,
      archives: [...copied.archives],
      manifest: copied.manifest,
      plainBytes: copied.estimatedBytes,
      storedBytes: parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      compression: { where, level },
      badPages: copied.end.badPages,
      settings: [...(await withConnection(cluster, readSettingsSnapshot))],
    };
  }

  /** Last of all, and once more only as the owner: a take-over may have happened while gigabytes were copied. */
  async #writeRecord(place: Place, lease: LeaseHandle, described: Omit<Backup, 'timings'>): Promise<Backup> {
    await this.#ownPlace();
    // A prune that took a silent day for death marks first and looks for a lease then: here it is the other way round.
    await lease.beat(this.#context.clock.now());
    await this.#checkIsNotSwept(place);
    const backup: Backup = { ...described, timings: { ...this.#timings } };
    this.#recordTried = true;
    await this.#context.repository.writeJson(layout.backupRecord(place, this.#id), backupSchema, backup);
    return backup;
  }

  async #checkIsNotSwept(place: Place): Promise<void> {
    const marks = await this.#context.repository.storage.folders(`${layout.marks(place)}${this.#id}/`);
    if (marks.length === 0) return;
    throw new Failure('conflict', `a prune has taken backup ${this.#id} for dead and swept what it had stored`, {
      hint: 'Its lease had been silent for a day: was the destination gone for so long? Take the backup again.',
    });
  }

  /** Gives back at once the room that a failed backup takes: a full disk would stop WAL too. What stays is swept later. */
  async #removeParts(place: Place): Promise<void> {
    const { storage } = this.#context.repository;
    try {
      for await (const { key } of storage.list(layout.backup(place, this.#id))) await storage.remove(key);
    } catch {
      // The failure that brought us here is the one to tell.
    }
  }
}
