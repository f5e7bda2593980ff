import { removeOurSettings } from '../postgres/archiving-removal.ts';
import { takeLockSoon, type JobContext } from './job-context.ts';

/** What leaving came to. */
export interface Left {
  /** What still needs a person, if anything. */
  readonly note: string | undefined;
}

/**
 * Takes this product's settings off the cluster and puts back what was found. The repository, the owner state and the pin
 * stay: whoever comes back goes on as the same owner, and no destination is needed to leave.
 */
export async function leaveCluster(context: Pick<JobContext, 'cluster' | 'unit'>): Promise<Left> {
  const lock = await takeLockSoon(context.unit, 'archiving', `the configuration of ${context.cluster.label}`);
  try {
    return { note: await removeOurSettings(context.cluster, context.unit) };
  } finally {
    await lock.release();
  }
}
