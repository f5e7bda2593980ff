import { backupId, type Backup } from '../../src/core/backup.ts';
import type { HeldLease, IncarnationCatalogue, UnfinishedBackup } from '../../src/core/catalogue.ts';
import type { Mark } from '../../src/core/record.ts';
import type { TimelineSwitch } from '../../src/core/timeline.ts';
import { indexWal } from '../../src/core/wal-index.ts';
import { historyName, segmentName, segmentStart } from '../../src/core/wal-name.ts';

/** The size of segments in built catalogues. */
const mebibyte = 1024 * 1024;
export const segmentSize = 16 * mebibyte;
export const now = new Date('2026-11-24T12:00:00.000Z');
export const hourMs = 60 * 60 * 1000;

/** A moment so many days before `now`. */
export function daysAgo(days: number): Date {
  return new Date(now.getTime() - days * 24 * hourMs);
}

/** The LSN some bytes into a segment. */
export function lsnIn(segment: number, bytes = 0): bigint {
  return segmentStart(segment, segmentSize) + BigInt(bytes);
}

interface BackupSketch {
  readonly daysAgo: number;
  /** It starts a little into this segment … */
  readonly segment: number;
  /** … and stops a little into this one; the next when left out. */
  readonly lastSegment?: number;
  readonly timeline?: number;
  readonly incarnation?: number;
  readonly withWal?: boolean;
}

/** A complete backup; its id ends with its start segment. */
export function backup(sketch: BackupSketch): Backup {
  const stoppedAt = daysAgo(sketch.daysAgo);
  const startedAt = new Date(stoppedAt.getTime() - 60_000);
  return {
    format: 1,
    id: backupId(startedAt, sketch.segment.toString(16).padStart(6, '0')),
    label: '',
    cluster: '15/main',
    systemIdentifier: '7000000000000000001',
    incarnation: sketch.incarnation ?? 1,
    versionNumber: 150004,
    major: '15',
    timeline: sketch.timeline ?? 1,
    segmentSize,
    startLsn: lsnIn(sketch.segment, 40),
    stopLsn: lsnIn(sketch.lastSegment ?? sketch.segment + 1, 256),
    startedAt,
    stoppedAt,
    stoppedAtHost: stoppedAt,
    withWal: sketch.withWal ?? false,
    dataDirectory: '/var/lib/postgresql/15/main',
    archives: [],
    manifest: null,
    plainBytes: 1,
    storedBytes: 1,
    compression: { where: 'server', level: 1 },
    badPages: false,
    settings: [],
    fileSet: null,
    timings: {},
  };
}

interface IncarnationSketch {
  readonly number?: number;
  readonly backups: readonly Backup[];
  /** Stored segments per timeline, as runs. */
  readonly wal?: Readonly<Record<number, readonly (readonly [number, number])[]>>;
  /** More names: partials, strangers. */
  readonly names?: readonly string[];
  readonly histories?: Readonly<Record<number, readonly TimelineSwitch[]>>;
  readonly marks?: Readonly<Record<string, readonly (Mark['mark'] | undefined)[]>>;
  readonly leases?: readonly HeldLease[];
  readonly unfinished?: readonly UnfinishedBackup[];
  readonly parent?: IncarnationCatalogue['owner']['parent'];
  readonly ownerId?: string;
  readonly since?: Date;
}

/** One incarnation as its catalogue tells of it. */
export function incarnation(sketch: IncarnationSketch): IncarnationCatalogue {
  const names = Object.entries(sketch.wal ?? {}).flatMap(([timeline, runs]) =>
    runs.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, place) => segmentName(Number(timeline), first + place, segmentSize)),
    ),
  );
  const histories = Object.entries(sketch.histories ?? {}).map(
    ([timeline, history]) => [Number(timeline), history] as const,
  );
  const marks = Object.entries(sketch.marks ?? {}).map(
    ([id, list]) =>
      [
        id,
        list.map((mark): Mark | undefined => (mark === undefined ? undefined : { format: 1, mark, at: now, why: '' })),
      ] as const,
  );
  return {
    number: sketch.number ?? 1,
    owner: {
      format: 1,
      ownerId: sketch.ownerId ?? 'owner',
      model: 'model',
      application: 'postgresql',
      unit: '15-main',
      since: sketch.since ?? daysAgo(sketch.parent === undefined ? 1000 : 0),
      parent: sketch.parent ?? null,
    },
    systemIdentifier: '7000000000000000001',
    backups: sketch.backups,
    unfinished: sketch.unfinished ?? [],
    marks: new Map(marks),
    wal: indexWal(
      [...names, ...histories.map(([timeline]) => historyName(timeline)), ...(sketch.names ?? [])],
      segmentSize,
    ),
    histories: new Map(histories),
    leases: sketch.leases ?? [],
    witness: undefined,
    restorePoints: [],
    holes: [],
  };
}

/** A lease whose newest heartbeat is so many hours old. */
export function lease(sketch: {
  readonly hoursAgo: number;
  readonly backups?: readonly string[];
  readonly from?: { readonly timeline: number; readonly lsn: bigint } | null;
  readonly ended?: boolean;
  readonly isGuest?: boolean;
  readonly kind?: 'backup' | 'restore' | 'verify' | 'drill';
}): HeldLease {
  return {
    key: 'clusters/7000000000000000001/1/leases/job/00000001.json',
    isGuest: sketch.isGuest ?? false,
    lease: {
      format: 1,
      job: 'job',
      kind: sketch.kind ?? 'restore',
      holder: 'spare',
      at: new Date(now.getTime() - sketch.hoursAgo * hourMs),
      ended: sketch.ended ?? false,
      backups: [...(sketch.backups ?? [])],
      from: sketch.from ?? null,
    },
  };
}
