import { ownerText } from './incarnation.ts';
import { lastSignOfLife } from './backup-list.ts';
import type { IncarnationCatalogue } from './catalogue.ts';
import { isHeld } from './lease.ts';
import { backupFault } from './backup-fault.ts';

const dayMs = 24 * 60 * 60 * 1000;

/** The parent that may be retired, seen from its child, and what the child's owner asks for. */
export interface RetireQuestion {
  readonly parent: IncarnationCatalogue;
  readonly child: IncarnationCatalogue;
  readonly retentionDays: number;
  readonly now: Date;
}

/**
 * Says why a parent incarnation may not be retired by its child's owner; `undefined` when it may.
 *
 * It may when its owner has given no sign of life for the days of retention, nobody's job needs it, nothing in it is pinned
 * or unreadable, and the child reaches every promised instant from a backup of its own.
 */
export function whyNotRetire({ parent, child, retentionDays, now }: RetireQuestion): string | undefined {
  if (child.owner.parent?.incarnation !== parent.number) return 'it is not the parent of this incarnation';
  if (parent.owner.ownerId === child.owner.ownerId) return 'it is our own: prune looks after it';
  const silentMs = now.getTime() - lastSignOfLife(parent).getTime();
  if (silentMs < Math.max(1, retentionDays) * dayMs) {
    return `its owner, ${ownerText(parent.owner)}, gave a sign of life at ${lastSignOfLife(parent).toISOString()}`;
  }
  const held = parent.leases.find((lease) => isHeld(lease, now));
  if (held !== undefined) return `a job needs it (${held.lease?.holder ?? `unreadable lease ${held.key}`})`;
  const unreadable = parent.unfinished.find(({ unreadable: why }) => why !== undefined);
  if (unreadable !== undefined) return `its backup ${unreadable.id} can't be read`;
  for (const [id, marks] of parent.marks) {
    const pin = marks.findLast((mark) => mark === undefined || mark.mark === 'pinned' || mark.mark === 'unpinned');
    if (marks.length > 0 && (marks.includes(undefined) || pin?.mark === 'pinned')) return `its backup ${id} is pinned`;
  }
  const reaches = child.backups.some(
    (backup) =>
      backupFault(child, backup.id) === undefined &&
      now.getTime() - backup.stoppedAt.getTime() >= retentionDays * dayMs,
  );
  return reaches ? undefined : `no backup of incarnation ${child.number} itself is ${retentionDays} days old yet`;
}
