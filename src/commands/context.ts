import type { JobContext } from '../jobs/job-context.ts';
import { openSettingsStorage } from '../jobs/job-context.ts';
import type { ReportProgress } from '../jobs/job-progress.ts';
import { findCluster } from '../postgres/cluster.ts';
import { makeControl } from '../postgres/control.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import { machineClock } from '../system/clock.ts';
import { readPin, readSettings, unitFolder } from '../system/home.ts';
import { machineIdentity } from '../system/identity.ts';

/** What every verb starts from: a job's context, and where to tell how far it is. */
export interface Context extends JobContext {
  readonly signal: AbortSignal;
  readonly progress: ReportProgress;
}

/** Finds the cluster that is meant and reads the settings. Fails with `settings` or `usage`. */
export async function makeContext(
  options: { readonly home: string; readonly runtime: string; readonly cluster: string | undefined },
  tell: Pick<Context, 'signal' | 'progress'>,
): Promise<Context> {
  const settings = await readSettings(options.home);
  const cluster = await findCluster(options.cluster, settings.clusters);
  return {
    home: options.home,
    runtime: options.runtime,
    settings,
    cluster,
    unit: unitFolder(options.home, cluster.unit),
    clock: machineClock,
    identity: await machineIdentity(cluster.unit),
    control: makeControl(),
    ...tell,
  };
}

/** Opens the repository, works with it, and closes; another repository than the pinned one is a `conflict`. */
export async function withRepository<T>(context: Context, work: (repository: Repository) => Promise<T>): Promise<T> {
  const storage = await openSettingsStorage(context);
  try {
    const pin = await readPin(context.unit);
    return await work(await openRepository(storage, pin?.repositoryId));
  } finally {
    await storage.close();
  }
}
