import { Failure } from '../core/failure.ts';
import { readControlData } from '../postgres/control-data.ts';
import { readOwnerState, writeOwnerState, type OwnerState } from '../system/home.ts';
import { refuseDuringRestore } from './configure.ts';
import { takeLockSoon, type JobContext } from './job-context.ts';

/** As `pg_control` words it for a server that follows another one, running or not. */
const standbyStates: readonly string[] = ['in archive recovery', 'shut down in recovery'];

/**
 * Makes a standby know whose line it follows, so that it goes on as the same owner when it is promoted. May be repeated; the
 * newest incarnation of that owner counts. Gives back whether anything changed.
 *
 * Fails with `refused` for another cluster, for a unit that is another owner, and for a cluster that follows nobody: a
 * restored copy has the same system identifier, and becomes an owner by take-over only.
 */
export async function adoptOwner(context: JobContext, wanted: OwnerState): Promise<boolean> {
  const { cluster, unit } = context;
  await refuseDuringRestore(context);
  const lock = await takeLockSoon(unit, 'archiving', `the configuration of ${cluster.label}`);
  try {
    const known = await readOwnerState(unit);
    if (known !== undefined && known.ownerId !== wanted.ownerId) {
      throw new Failure(
        'refused',
        `this unit is the owner ${known.ownerId} already, and can't be ${wanted.ownerId} too`,
        {
          hint: 'Two owners of one application are two clusters: landscape-backup status on both says which is which.',
        },
      );
    }
    const { systemIdentifier, state } = await readControlData(cluster.binaries, cluster.dataDirectory);
    if (systemIdentifier !== wanted.systemIdentifier) {
      throw new Failure(
        'refused',
        `${cluster.label} is the cluster ${systemIdentifier}, the owner's is ${wanted.systemIdentifier}`,
        { hint: 'It is no standby of the cluster that is kept; landscape-backup init makes it a line of its own.' },
      );
    }
    if (known !== undefined && known.incarnation >= wanted.incarnation) return false;
    // Who owned it before is known by its id, and goes on; who did not must be following now.
    if (known === undefined && !standbyStates.includes(state)) {
      throw new Failure('refused', `${cluster.label} follows no other server (its control file says "${state}")`, {
        hint: 'A copy becomes an owner by landscape-backup take-over.',
      });
    }
    await writeOwnerState(unit, wanted);
    return true;
  } finally {
    await lock.release();
  }
}
