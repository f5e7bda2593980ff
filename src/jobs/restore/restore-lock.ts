import type { Cluster } from '../../postgres/cluster.ts';
import type { UnitFolder } from '../../system/home.ts';
import { takeLockWithin, type Lock } from '../../system/lock.ts';

/**
 * Who goes on with a restore that was killed, or gives it up, may come in the very moment: what holds a lock for a process ends
 * an instant after it.
 */
const instantMs = 2000;

/** Takes the lock of all that restores a cluster, gives it up, or removes what it set aside. Fails with `busy` while another one has it. */
export async function takeRestoreLock({
  unit,
  cluster,
}: {
  readonly unit: UnitFolder;
  readonly cluster: Pick<Cluster, 'label'>;
}): Promise<Lock> {
  return await takeLockWithin(instantMs, unit.lock('restore'), `a restore of ${cluster.label}`);
}
