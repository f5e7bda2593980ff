import { backupSchema } from '../../src/core/backup.ts';
import { segmentName, segmentStart } from '../../src/core/wal-name.ts';
import { layout, walKey, type Place } from '../../src/repository/layout.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { backup } from '../core/catalogue-builder.ts';

/** Segments so large that a log holds four of them: what takes terabytes otherwise is told with a few names. */
export const largeSegments = 2 ** 30;

/** The keys of segments of a timeline, both ends included. */
export function segmentKeys(
  place: Place,
  timeline: number,
  [first, last]: readonly [number, number],
  segmentSize: number,
): readonly string[] {
  return Array.from({ length: last - first + 1 }, (_, at) =>
    walKey(place, segmentName(timeline, first + at, segmentSize)),
  );
}

/** Stores the record of a backup without parts, so many days old, which starts and stops in a segment. */
export async function storeBackupRecord(
  repository: Repository,
  { systemIdentifier, incarnation }: Place,
  at: { readonly segment: number; readonly segmentSize: number; readonly daysAgo: number; readonly timeline?: number },
): Promise<string> {
  const { segment, segmentSize, daysAgo, timeline = 1 } = at;
  const start = segmentStart(segment, segmentSize);
  const record = {
    ...backup({ daysAgo, segment, timeline }),
    systemIdentifier,
    incarnation,
    segmentSize,
    startLsn: start + 40n,
    stopLsn: start + 256n,
  };
  await repository.writeJson(layout.backupRecord({ systemIdentifier, incarnation }, record.id), backupSchema, record);
  return record.id;
}
