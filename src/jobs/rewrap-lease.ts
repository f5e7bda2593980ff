import { Failure } from '../core/failure.ts';
import { isHeld } from '../core/lease.ts';
import { safe, type Place } from '../repository/layout.ts';
import { listLeases, takeLease } from '../repository/leases.ts';
import type { RewrapContext } from './rewrap.ts';
import type { RewrapScope } from './rewrap-plan.ts';

const heartbeatMs = 5 * 60_000;

/**
 * Encrypts anew while no other unit of the same owner does. Each says it before it looks, so of two at least one sees the
 * other and fails with `busy`; that of a unit which died goes on for it, or is over after a day.
 */
export async function withRewrapLease<T>(
  context: RewrapContext,
  { home, fileSets }: RewrapScope,
  work: () => Promise<T>,
): Promise<T> {
  if (home === undefined) return await work();
  const { repository, clock } = context;
  const job = `rewrap-${safe(fileSets.model)}-${safe(fileSets.unit)}`;
  const terms = { job, kind: 'rewrap' as const, holder: fileSets.unit, backups: [], from: null };
  const lease = await takeLease(repository, home, { by: 'owner' }, terms, clock.now());
  const beat = setInterval(() => {
    lease.beat(clock.now()).catch(() => undefined); // The next one says it too.
  }, heartbeatMs);
  try {
    await refuseOther(context, home, job);
    return await work();
  } finally {
    clearInterval(beat);
    await lease.end(clock.now()).catch(() => undefined);
  }
}

async function refuseOther({ repository, clock }: RewrapContext, home: Place, job: string): Promise<void> {
  for (const { lease, ...held } of await listLeases(repository, home)) {
    if (lease?.kind !== 'rewrap' || lease.job === job || !isHeld({ lease, ...held }, clock.now())) continue;
    throw new Failure('busy', `${lease.holder} encrypts the same objects anew since ${lease.at.toISOString()}`, {
      hint: 'Wait until it has ended. If it died, run it again there, or here a day later.',
    });
  }
}
