import type { Backup } from '../../core/backup.ts';
import type { RestorePlan } from '../../core/restore-plan.ts';
import { ownerSchema } from '../../core/incarnation.ts';
import { layout, type Place } from '../../repository/layout.ts';
import { takeLease, type LeaseHandle, type LeasePlace } from '../../repository/leases.ts';
import { readOwnerState } from '../../system/home.ts';
import type { RestoreContext } from './restore-context.ts';

const heartbeatMs = 5 * 60_000;

/** What a restore needs, kept from prune while some work runs. */
export async function withRestoreLease<T>(
  context: RestoreContext,
  planId: string,
  plan: RestorePlan,
  backup: Backup,
  work: () => Promise<T>,
): Promise<T> {
  const leases = await takeLeases(context, planId, plan, backup);
  const beat = setInterval(() => {
    // The next one says it too; a prune takes silence for death only after a day.
    for (const lease of leases) lease.beat(context.clock.now()).catch(() => undefined);
  }, heartbeatMs);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    // One that can't be ended protects for another day, and no longer.
    for (const lease of leases) await lease.end(context.clock.now()).catch(() => undefined);
  }
}

/** One in every incarnation that is read. Where a guest may not write it goes on without: its plan said so. */
async function takeLeases(
  context: RestoreContext,
  planId: string,
  plan: RestorePlan,
  backup: Backup,
): Promise<readonly LeaseHandle[]> {
  const { repository, cluster, clock } = context;
  const numbers = new Set([plan.backup.incarnation, ...plan.service.segments.map(({ incarnation }) => incarnation)]);
  const leases: LeaseHandle[] = [];
  for (const incarnation of numbers) {
    const place: Place = { systemIdentifier: plan.systemIdentifier, incarnation };
    const where = await leasePlace(context, place);
    const terms = {
      job: `restore-${planId}`,
      kind: 'restore' as const,
      holder: cluster.label,
      backups: incarnation === plan.backup.incarnation ? [backup.id] : [],
      from: { timeline: backup.timeline, lsn: backup.startLsn },
    };
    try {
      leases.push(await takeLease(repository, place, where, terms, clock.now()));
    } catch (error) {
      if (where.by === 'owner') throw error;
      context.progress({ phase: 'beginning', note: 'not protected against prune: no lease could be left' });
    }
  }
  return leases;
}

async function leasePlace({ repository, unit, identity }: RestoreContext, place: Place): Promise<LeasePlace> {
  const own = await readOwnerState(unit);
  const owner = await repository.readJson(layout.owner(place), ownerSchema);
  if (own !== undefined && owner?.ownerId === own.ownerId && own.systemIdentifier === place.systemIdentifier) {
    return { by: 'owner' };
  }
  return { by: 'guest', model: identity.model, unit: identity.unit };
}
