import { claimIncarnation } from '../../repository/incarnations.ts';
import { randomName, writeJson } from '../../system/files.ts';
import { pinSchema, readOwnerState, writeOwnerState } from '../../system/home.ts';
import type { RestoreRun } from './restore-context.ts';

/**
 * Claims the incarnation of the plan before the restored cluster is started for the first time: then its WAL has no gap.
 *
 * Who we are is durable first, so that who died in between finds its own claim again. Fails with `refused` when somebody else
 * was faster.
 */
export async function claimInPlan({ context, kept: { plan } }: RestoreRun): Promise<void> {
  if (plan.claims === null) return;
  const { repository, unit, identity, clock } = context;
  const { systemIdentifier } = plan;
  const own = await readOwnerState(unit);
  const isSame = own?.systemIdentifier === systemIdentifier;
  const ownerId = isSame ? own.ownerId : randomName(16);
  if (!isSame || own.incarnation !== plan.claims) {
    await writeOwnerState(unit, { ownerId, systemIdentifier, incarnation: plan.claims });
  }
  // A spare that only restores has no pin, and `archive-wal` writes to the pinned repository alone.
  await writeJson(unit.pin, pinSchema, { repositoryId: repository.record.id, url: repository.storage.url });
  await claimIncarnation(repository, systemIdentifier, plan.claims, {
    format: 1,
    ownerId,
    ...identity,
    since: clock.now(),
    // A backup's own end is known to the byte when PostgreSQL has been there; it is never before this.
    parent: { incarnation: plan.incarnation, timeline: plan.timeline, lsn: plan.switchLsn ?? plan.after },
  });
}
