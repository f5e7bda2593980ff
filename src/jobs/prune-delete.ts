import { isHeld } from '../core/lease.ts';
import { markSchema } from '../core/record.ts';
import type { ExpiredBackup, UnfinishedDecision, WalDecision } from '../core/retention-plan.ts';
import { readWalName, segmentNumber, type WalName } from '../core/wal-name.ts';
import { layout, readGeneration, type Place } from '../repository/layout.ts';
import { listLeases } from '../repository/leases.ts';
import { appendRecord, readRecords } from '../repository/records.ts';
import type { Repository } from '../repository/repository.ts';
import { listWalObjects } from '../repository/wal-store.ts';
import type { Clock } from '../system/clock.ts';

/** Whose things are deleted, and for whom. */
export interface Deleter {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly systemIdentifier: string;
  /** The incarnations whose leases count. */
  readonly leasesOf: readonly number[];
  /** Fails unless this unit may write into an incarnation; asked again before every backup and every timeline. */
  prove(incarnation: number): Promise<void>;
}

function placeOf({ systemIdentifier }: Deleter, incarnation: number): Place {
  return { systemIdentifier, incarnation };
}

/**
 * Condemns backups: from here on nobody counts on them or begins to use them.
 *
 * The mark comes before the second look at leases. Who wants to use a backup leaves a lease first and looks for the mark
 * then, so of the two at least one sees the other.
 */
export async function condemn(
  deleter: Deleter,
  backups: readonly { readonly incarnation: number; readonly id: string; readonly because: string }[],
): Promise<void> {
  for (const { incarnation, id, because } of backups) {
    const place = placeOf(deleter, incarnation);
    await deleter.prove(incarnation);
    await appendRecord(deleter.repository, `${layout.marks(place)}${id}/`, markSchema, {
      format: 1,
      mark: 'deleting',
      at: deleter.clock.now(),
      why: because,
    });
  }
}

/**
 * Deletes a condemned backup, unless a job has begun to use it or it was pinned meanwhile; says whether it did.
 *
 * The record `backup.json` goes first: killed before it, there is a whole backup that is marked; killed after it, there is
 * none any more, for us as for a person with `ls`, only bytes that the mark tells the next prune to sweep. In any other
 * order a kill would leave a record that promises parts which are gone. The mark itself stays for a month, so that whoever
 * was writing into the folder all the time finds it.
 */
export async function deleteBackup(
  deleter: Deleter,
  { incarnation, id }: { readonly incarnation: number; readonly id: string },
): Promise<boolean> {
  const { storage } = deleter.repository;
  const place = placeOf(deleter, incarnation);
  await deleter.prove(incarnation);
  if (await isWanted(deleter, place, id)) return false;
  const record = layout.backupRecord(place, id);
  await storage.remove(record);
  const parts: string[] = [];
  for await (const { key } of storage.list(layout.backup(place, id))) parts.push(key);
  for (const key of parts) await storage.remove(key);
  return true;
}

/** The same for what an interrupted backup left; one that was finished meanwhile stays. */
export async function sweepUnfinished(
  deleter: Deleter,
  { incarnation, id }: UnfinishedDecision,
  isRest: boolean,
): Promise<boolean> {
  const place = placeOf(deleter, incarnation);
  if (!isRest && (await deleter.repository.storage.folders(layout.backup(place, id))).includes('backup.json'))
    return false;
  return await deleteBackup(deleter, { incarnation, id });
}

async function isWanted(
  { repository, clock, systemIdentifier, leasesOf }: Deleter,
  place: Place,
  id: string,
): Promise<boolean> {
  for (const incarnation of leasesOf) {
    for (const held of await listLeases(repository, { systemIdentifier, incarnation })) {
      if (isHeld(held, clock.now()) && (held.lease?.backups.includes(id) ?? true)) return true;
    }
  }
  const marks = await readRecords(repository, `${layout.marks(place)}${id}/`, markSchema);
  const names = marks.map(({ value }) => value?.mark);
  const isPinned = names.findLast((name) => name === 'pinned' || name === 'unpinned') === 'pinned';
  return isPinned || names.includes(undefined);
}

/** The marks that are for the backups of a plan: those that an earlier prune condemned have theirs. */
export function toCondemn(
  backups: readonly ExpiredBackup[],
  unfinished: readonly UnfinishedDecision[],
  isRest: (each: UnfinishedDecision) => boolean,
): readonly { readonly incarnation: number; readonly id: string; readonly because: string }[] {
  return [
    ...backups
      .filter((each) => !each.isRest)
      .map(({ incarnation, backup, because }) => ({ incarnation, id: backup.id, because })),
    ...unfinished.filter((each) => !isRest(each)),
  ];
}

/**
 * Deletes stretches of WAL, the oldest segment first: a kill leaves a shorter row, never one with a hole.
 *
 * `.backup` and `.partial` files go with the segment of their number and before it; `.history` files stay. Says how many
 * segments went.
 */
export async function deleteWal(
  deleter: Deleter,
  stretches: readonly WalDecision[],
  segmentSize: number,
): Promise<number> {
  const segments = new Set<string>();
  for (const incarnation of new Set(stretches.map((each) => each.incarnation))) {
    const place = placeOf(deleter, incarnation);
    const own = stretches.filter((each) => each.incarnation === incarnation);
    const doomed: Doomed[] = [];
    for await (const { key, name: text } of listWalObjects(deleter.repository, place)) {
      const name = readWalName(text);
      if (name === undefined || name.kind === 'history') continue;
      const number = segmentNumber(name, segmentSize);
      const isDoomed = own.some(
        (each) =>
          each.timeline === name.timeline && number !== undefined && number >= each.first && number <= each.last,
      );
      if (number !== undefined && isDoomed) doomed.push({ key, name, number });
    }
    doomed.sort((a, b) => a.number - b.number || a.name.timeline - b.name.timeline || order(a) - order(b));
    let proven: number | undefined;
    for (const { key, name } of doomed) {
      if (proven !== name.timeline) await deleter.prove(incarnation);
      proven = name.timeline;
      await deleter.repository.storage.remove(key);
      if (name.kind === 'segment') segments.add(`${incarnation}/${name.name}`);
    }
  }
  return segments.size;
}

interface Doomed {
  readonly key: string;
  readonly name: WalName;
  readonly number: number;
}

/** The segment itself after what belongs to it, and its highest generation last: that is the one that counts. */
function order({ key, name }: Doomed): number {
  return name.kind === 'segment' ? (readGeneration(key)?.number ?? 1) : 0;
}
