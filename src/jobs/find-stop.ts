import type { ClusterCatalogue } from '../core/catalogue.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { formatLsn, type Lsn } from '../core/lsn.ts';
import { provenMicros } from '../core/proven-end.ts';
import { StopFinder, type FoundStop, type Reading } from '../core/recovery-target.ts';
import type { Stretch, Way, Window } from '../core/restorable.ts';
import type { RestoreTarget } from '../core/restore-plan.ts';
import { settleStop, type ProvenEnd, type SettledStop } from '../core/settle-stop.ts';
import { endOf, type WalRecord } from '../core/wal-record.ts';
import { segmentEndingAt, segmentOf, segmentStart } from '../core/wal-name.ts';
import { findEndOfWal, readWalRecords, recordAt, type WalReadRequest } from './read-wal.ts';

/** What all readings of one search have in common. */
export type StopReader = Omit<WalReadRequest, 'from' | 'all' | 'stretches' | 'mayBeEmpty'>;

/** A stop that was found, and from which backup. */
export interface Found {
  readonly window: Window;
  readonly settled: SettledStop;
  readonly floors: Readonly<Record<string, number>>;
  /** The segments that recovery needs, each of them fetched and verified on the way. */
  readonly stretches: readonly Stretch[];
}

/**
 * Finds where a restore stops, from the newest of the given windows from which it is consistent by then.
 *
 * Every segment that is needed is fetched and verified. Fails with `refused` when no window reaches the target, with
 * `damaged` or `missing` when a segment that is needed can't be used.
 */
export async function findStop(
  reader: StopReader,
  catalogue: ClusterCatalogue,
  way: Way,
  windows: readonly Window[],
  target: RestoreTarget,
): Promise<Found> {
  const candidates = candidatesFor(target, windows, catalogue);
  let firstRefusal: Failure | undefined;
  let newer: Window | undefined;
  for (const window of candidates.toReversed()) {
    const read = await readWindow(reader, window, target, newer);
    newer = window;
    const isFound = read.reading.stop !== undefined || target.to === 'end' || target.to === 'backup';
    const end = isFound && target.to !== 'end' ? null : await provenEnd(reader, catalogue, way, window, read.reading);
    try {
      const settled = settleStop(target, {
        ...read,
        backup: window.backup,
        end,
        gap: window.gap,
        segmentSize: way.segmentSize,
      });
      if ('tooEarly' in settled) continue;
      return { window, settled, floors: read.reading.floors, stretches: needed(window, settled, read.reading.stop) };
    } catch (error) {
      // A transaction or a name may lie before the newest backup; a time or an LSN beyond the end lies beyond every end.
      if (!isFailure(error, 'refused') || (target.to !== 'xid' && target.to !== 'name')) throw error;
      firstRefusal ??= error;
    }
  }
  throw firstRefusal ?? tooEarly(target, windows);
}

/** The windows from which the target may be reached, oldest first: where it is known before reading, without those too new. */
function candidatesFor(
  target: RestoreTarget,
  windows: readonly Window[],
  catalogue: ClusterCatalogue,
): readonly Window[] {
  if (target.to === 'time') return windows.filter(({ backup }) => backup.stoppedAt <= target.time);
  if (target.to === 'lsn') return windows.filter(({ backup }) => backup.stopLsn <= target.lsn);
  if (target.to !== 'name') return windows;
  const known = recordedPoint(catalogue, windows.at(-1), target.name);
  return known === undefined ? windows : windows.filter(({ backup }) => backup.stopLsn <= known);
}

/** Where a restore point of that name was recorded, if once; several of one name are told apart by a person. */
function recordedPoint(catalogue: ClusterCatalogue, window: Window | undefined, name: string): Lsn | undefined {
  const points = catalogue.incarnations
    .filter(({ number }) => number === window?.incarnation)
    .flatMap(({ restorePoints }) =>
      restorePoints.filter((point) => point.name === name && point.timeline === window?.timeline),
    );
  const [point, other] = points;
  if (point === undefined || other === undefined) return point?.lsn;
  const places = points.map(({ lsn, at }) => `${formatLsn(lsn)} (${at.toISOString()})`).join(', ');
  throw new Failure('refused', `the restore point "${name}" was made several times: ${places}`, {
    hint: 'Say which with --to lsn=<LSN> --exclusive: the place behind the restore point.',
  });
}

async function readWindow(
  reader: StopReader,
  window: Window,
  target: RestoreTarget,
  newer: Window | undefined,
): Promise<{ readonly reading: Reading }> {
  const { backup, segmentSize } = window;
  const finder = new StopFinder(target, segmentSize);
  const last = lastToRead(window, target, newer);
  for await (const record of recordsFor(
    { ...reader, stretches: cut(window.stretches, last) },
    backup.startLsn,
    target,
  )) {
    if (target.to === 'backup' && record.start >= backup.stopLsn) break;
    if (finder.take(record)) break;
  }
  const { reading } = finder;
  const { stop } = reading;
  if (stop === undefined || stop.neededTo !== null) return { reading };
  const next = await recordAt({ ...reader, stretches: window.stretches }, stop.lsn);
  return { reading: { ...reading, stop: { ...stop, neededTo: next === undefined ? null : endOf(next, segmentSize) } } };
}

/** The records that decide; for an LSN every one from its segment on, for there any record may be the first unwanted. */
async function* recordsFor(
  reader: Omit<WalReadRequest, 'from' | 'all'>,
  from: Lsn,
  target: RestoreTarget,
): AsyncGenerator<WalRecord, void> {
  if (target.to !== 'lsn') {
    yield* readWalRecords({ ...reader, from, all: false });
    return;
  }
  const segment = segmentOf(target.lsn, reader.segmentSize);
  const place = segmentStart(segment, reader.segmentSize);
  if (place <= from) {
    yield* readWalRecords({ ...reader, from, all: true });
    return;
  }
  for await (const record of readWalRecords({
    ...reader,
    stretches: cut(reader.stretches, segment),
    from,
    all: false,
  })) {
    if (record.start < place) yield record;
  }
  if (segment > (reader.stretches.at(-1)?.last ?? -1)) return;
  yield* readWalRecords({ ...reader, from: place, all: true, mayBeEmpty: true });
}

/** How far a window has to be read: what lies behind a newer backup's start was read from there. */
function lastToRead(window: Window, target: RestoreTarget, newer: Window | undefined): number {
  const { backup, segmentSize, stretches } = window;
  const last = stretches.at(-1)?.last ?? -1;
  if (target.to === 'backup') return Math.min(last, segmentEndingAt(backup.stopLsn, segmentSize));
  // One more, for a record that crosses.
  return newer === undefined ? last : Math.min(last, segmentOf(newer.backup.startLsn, segmentSize) + 1);
}

/** The part of stretches up to a segment. */
function cut(stretches: readonly Stretch[], last: number): readonly Stretch[] {
  return stretches.flatMap((stretch) =>
    stretch.first > last ? [] : [{ ...stretch, last: Math.min(stretch.last, last) }],
  );
}

function needed(window: Window, settled: SettledStop, stop: FoundStop | undefined): readonly Stretch[] {
  const { stretches, segmentSize, backup } = window;
  switch (settled.stop.at) {
    case 'backup-end':
      return cut(stretches, segmentEndingAt(backup.stopLsn, segmentSize));
    case 'record':
      return cut(stretches, segmentEndingAt(stop?.neededTo ?? settled.stop.lsn, segmentSize));
    case 'end':
      return stretches;
  }
}

async function provenEnd(
  reader: StopReader,
  catalogue: ClusterCatalogue,
  way: Way,
  window: Window,
  reading: Reading,
): Promise<ProvenEnd> {
  const lsn = await findEndOfWal({ ...reader, stretches: window.stretches }, window.backup.startLsn);
  if (lsn === null) throw new Failure('damaged', `the WAL of backup ${window.backup.id} holds no whole record`);
  return { lsn, micros: provenMicros(catalogue, way, window, reading.newestMicros) };
}

function tooEarly(target: RestoreTarget, windows: readonly Window[]): Failure {
  const [earliest] = windows;
  if (earliest === undefined) throw new Failure('internal', 'there was no backup to choose from');
  const { backup } = earliest;
  const where = `${backup.stoppedAt.toISOString()}, LSN ${formatLsn(backup.stopLsn)}`;
  const only =
    windows.length === 1 ? `backup ${backup.id} is` : `the oldest of ${windows.length} backups, ${backup.id}, is`;
  return new Failure(
    'refused',
    `${targetWords(target)} lies before the earliest possible stop: ${only} consistent from ${where} on`,
    {
      hint: `The earliest is --to backup --backup ${backup.id}; landscape-backup list-backups shows what else there is.`,
    },
  );
}

function targetWords(target: RestoreTarget): string {
  switch (target.to) {
    case 'time':
      return target.time.toISOString();
    case 'lsn':
      return `the LSN ${formatLsn(target.lsn)}`;
    case 'name':
      return `the restore point "${target.name}"`;
    case 'xid':
      return `the end of transaction ${target.xid}`;
    case 'end':
    case 'backup':
      return `"${target.to}"`;
  }
}
