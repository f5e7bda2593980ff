import type { IncarnationCatalogue } from '../core/catalogue.ts';
import { leaseLifeMs } from '../core/lease.ts';
import { spentParts } from '../core/wal-index.ts';
import { segmentNamed } from '../core/wal-name.ts';
import { layout, type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { removeParts } from '../repository/wal-parts.ts';

const markLifeMs = 30 * 24 * 60 * 60 * 1000;
const keptWitnesses = 3;

/**
 * Removes what nobody will read again in an incarnation of ours: what interrupted puts left more than 24 hours ago, by the
 * destination's clock, parts of segments that something longer has superseded, witnesses before the newest, our own leases that ended or went silent, and marks of backups that
 * have been gone for a month. Oldest first, so that the newest record, which counts, goes last. Says how many went.
 */
export async function tidy(repository: Repository, of: IncarnationCatalogue, now: Date): Promise<number> {
  const place: Place = { systemIdentifier: of.systemIdentifier, incarnation: of.number };
  const destinationNow = await repository.storage.clock();
  const before = new Date(destinationNow.getTime() - leaseLifeMs);
  let removed = 0;
  for (const folder of [
    layout.base(place),
    layout.wal(place),
    layout.marks(place),
    layout.leases(place),
    layout.witnesses(place),
    layout.sweeps(place),
  ]) {
    removed += await repository.storage.sweep(folder, before);
  }
  for (const { timeline, part } of spentParts(of.wal)) {
    const segment = segmentNamed(timeline, part.segment, of.wal.segmentSize);
    await removeParts(repository, place, segment, [part.length]);
    removed += 1;
  }
  removed += await removeRecords(repository, layout.witnesses(place), keptWitnesses);
  for (const { key, lease, isGuest } of of.leases) {
    if (isGuest || lease === undefined || now.getTime() - lease.at.getTime() < leaseLifeMs) continue;
    removed += await removeRecords(repository, key.slice(0, key.lastIndexOf('/') + 1), 0, key);
  }
  const present = new Set([...of.backups, ...of.unfinished].map(({ id }) => id));
  for (const [id, marks] of of.marks) {
    const isOld = marks.every((mark) => mark !== undefined && now.getTime() - mark.at.getTime() > markLifeMs);
    const isCondemned = marks.some((mark) => mark?.mark === 'deleting');
    if (!present.has(id) && isOld && isCondemned)
      removed += await removeRecords(repository, `${layout.marks(place)}${id}/`, 0);
  }
  return removed;
}

/** Removes the records below a prefix but the newest few; where `upTo` is given, none after that one: it was written since. */
async function removeRecords(repository: Repository, prefix: string, keep: number, upTo?: string): Promise<number> {
  const names = (await repository.storage.folders(prefix)).filter((name) => /^\d+\.json$/.test(name));
  const old = names
    .slice(0, Math.max(0, names.length - keep))
    .filter((name) => upTo === undefined || prefix + name <= upTo);
  for (const name of old) await repository.storage.remove(prefix + name);
  return old.length;
}
