import { backupIdPattern, backupSchema, type Backup } from '../core/backup.ts';
import type { ClusterCatalogue, IncarnationCatalogue, UnfinishedBackup } from '../core/catalogue.ts';
import { isFailure } from '../core/failure.ts';
import type { Incarnation } from '../core/incarnation.ts';
import { holeSchema, markSchema, restorePointSchema, witnessSchema, type Mark } from '../core/record.ts';
import { parseHistory, type TimelineSwitch } from '../core/timeline.ts';
import { historyName, isSegmentSize } from '../core/wal-name.ts';
import { indexWal, type WalIndex } from '../core/wal-index.ts';
import { layout, type Place } from './layout.ts';
import { listIncarnations } from './incarnations.ts';
import { listLeases } from './leases.ts';
import { newestRecord, readRecords } from './records.ts';
import type { Repository } from './repository.ts';
import { listedWal } from './wal-look.ts';
import { readReplaced, rewrapped } from './rewraps.ts';
import { listWal, readWal, sealAt, walKeyIn } from './wal-store.ts';

const defaultSegmentSize = 16 * 1024 * 1024;

/** How somebody finds out what WAL an incarnation holds, where the size of its segments is known for certain. */
export type LookAtWal = (place: Place, segmentSize: number) => Promise<WalIndex>;

/**
 * Reads all that the repository knows of one cluster; the truth is the listing, nothing is remembered unless by the look that
 * is given.
 */
export async function readCatalogue(
  repository: Repository,
  systemIdentifier: string,
  look: LookAtWal = async (place, segmentSize) => await listedWal(repository, place, segmentSize),
): Promise<ClusterCatalogue> {
  const incarnations: IncarnationCatalogue[] = [];
  for (const incarnation of await listIncarnations(repository, systemIdentifier)) {
    incarnations.push(await readIncarnation(repository, systemIdentifier, incarnation, look));
  }
  return { systemIdentifier, incarnations };
}

async function readIncarnation(
  repository: Repository,
  systemIdentifier: string,
  incarnation: Incarnation,
  look: LookAtWal,
): Promise<IncarnationCatalogue> {
  const place: Place = { systemIdentifier, incarnation: incarnation.number };
  const { backups, unfinished } = await readBackups(repository, place);
  const segmentSize = backups.at(-1)?.segmentSize;
  const wal = segmentSize === undefined ? await guessedWal(repository, place) : await look(place, segmentSize);
  const histories = new Map<number, readonly TimelineSwitch[]>();
  for (const { timeline, hasHistory } of wal.timelines.values()) {
    if (hasHistory) histories.set(timeline, await readHistory(repository, place, timeline));
  }
  return {
    ...incarnation,
    systemIdentifier,
    backups,
    unfinished,
    marks: await readMarks(repository, place),
    wal,
    histories,
    leases: await listLeases(repository, place),
    witness: (await newestRecord(repository, layout.witnesses(place), witnessSchema))?.value,
    restorePoints: present(await readRecords(repository, layout.restorePoints(place), restorePointSchema)),
    holes: present(await readRecords(repository, layout.holes(place), holeSchema)),
  };
}

function present<T>(records: readonly { value: T | undefined }[]): readonly T[] {
  return records.flatMap(({ value }) => (value === undefined ? [] : [value]));
}

/** The backups of an incarnation, complete and other, without a look at its WAL. */
export async function readBackups(
  repository: Repository,
  place: Place,
): Promise<{ backups: Backup[]; unfinished: UnfinishedBackup[] }> {
  const sizes = new Map<string, { bytes: number; complete: boolean; isRewrapped: boolean }>();
  for await (const { key, sizeBytes } of repository.storage.list(layout.base(place))) {
    const [id = '', file] = key.slice(layout.base(place).length).split('/');
    if (!backupIdPattern.test(id)) continue;
    const known = sizes.get(id) ?? { bytes: 0, complete: false, isRewrapped: false };
    sizes.set(id, {
      bytes: known.bytes + sizeBytes,
      complete: known.complete || file === 'backup.json',
      isRewrapped: known.isRewrapped || file === 'rewrap',
    });
  }
  const backups: Backup[] = [];
  const unfinished: UnfinishedBackup[] = [];
  for (const [id, { bytes, complete, isRewrapped }] of sizes) {
    const read = complete ? await readBackup(repository, place, id, isRewrapped) : undefined;
    if (read === undefined || typeof read === 'string') unfinished.push({ id, storedBytes: bytes, unreadable: read });
    else backups.push(read);
  }
  return { backups: backups.sort(byStart), unfinished };
}

function byStart(a: Backup, b: Backup): number {
  if (a.startLsn !== b.startLsn) return a.startLsn < b.startLsn ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

async function readBackup(
  repository: Repository,
  place: Place,
  id: string,
  isRewrapped: boolean,
): Promise<Backup | string | undefined> {
  try {
    const backup = await repository.readJson(layout.backupRecord(place, id), backupSchema);
    if (backup === undefined || !isRewrapped) return backup;
    return rewrapped(backup, await readReplaced(repository, layout.backup(place, id)));
  } catch (error) {
    if (isFailure(error, 'damaged')) return error.message;
    throw error;
  }
}

async function readHistory(repository: Repository, place: Place, timeline: number): Promise<readonly TimelineSwitch[]> {
  const name = historyName(timeline);
  const chunks: Uint8Array[] = [];
  for await (const chunk of readWal(repository, walKeyIn(repository, place, name))) chunks.push(chunk);
  return parseHistory(Buffer.concat(chunks).toString('utf8'), name);
}

/** What has been said of an incarnation's backups, by their ids. */
export async function readMarks(
  repository: Repository,
  place: Place,
): Promise<ReadonlyMap<string, readonly (Mark | undefined)[]>> {
  const marks = new Map<string, readonly (Mark | undefined)[]>();
  for (const folder of await repository.storage.folders(layout.marks(place))) {
    if (!folder.endsWith('/')) continue;
    const records = await readRecords(repository, layout.marks(place) + folder, markSchema);
    marks.set(
      folder.slice(0, -1),
      records.map(({ value }) => value),
    );
  }
  return marks;
}

async function guessedWal(repository: Repository, place: Place): Promise<WalIndex> {
  const names: string[] = [];
  for await (const name of listWal(repository, place)) names.push(name);
  return indexWal(names, await guessSegmentSize(repository, place, names));
}

/** Before the first backup nothing says how large segments are, but their seals do; one that can't be read says nothing. */
async function guessSegmentSize(repository: Repository, place: Place, names: readonly string[]): Promise<number> {
  for (const name of names.filter((each) => each.length === 24).slice(0, 10)) {
    try {
      const { length } = await sealAt(repository, walKeyIn(repository, place, name));
      if (isSegmentSize(length)) return length;
    } catch (error) {
      if (!isFailure(error, 'damaged', 'missing')) throw error;
    }
  }
  return defaultSegmentSize;
}
