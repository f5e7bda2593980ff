import type { JobContext } from '../jobs/job-context.ts';
import { openSettingsRepository, openSettingsStorage } from '../jobs/job-context.ts';
import type { ReportProgress } from '../jobs/job-progress.ts';
import type { PlanContext } from '../jobs/plan-context.ts';
import { findCluster } from '../postgres/cluster.ts';
import { makeControl } from '../postgres/control.ts';
import type { Repository } from '../repository/repository.ts';
import { machineClock, type Clock } from '../system/clock.ts';
import { readSettings, unitFolder } from '../system/home.ts';
import { readIdentity } from '../system/identity.ts';
import { readSite } from '../system/site-file.ts';
import { readUnitIdentity } from '../system/unit-identity.ts';

/** What every verb starts from: a job's context, and where to tell how far it is. */
export interface Context extends JobContext {
  /** The other units of the model; `undefined` without Juju. */
  readonly site: PlanContext['site'];
  readonly signal: AbortSignal;
  readonly progress: ReportProgress;
}

/** What a verb that runs as root starts from. It touches no destination of a cluster and opens nothing that its owner can write. */
export interface RootContext {
  readonly home: string;
  /** Where the fronts lie, by the path that stays the same when a new version is installed. */
  readonly runtime: string;
  /** How this very program is called, as the beginning of an argument list. */
  readonly program: readonly string[];
  /** The cluster that the command line names. */
  readonly cluster: string | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly progress: ReportProgress;
  /** A line for a log, beside the result. */
  readonly log: (line: string) => void;
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
    identity: await readIdentity(options.home, cluster.unit),
    control: makeControl(),
    site: await siteOf(options.home),
    ...tell,
  };
}

async function siteOf(home: string): Promise<Context['site']> {
  const site = await readSite(home);
  const identity = await readUnitIdentity(home);
  return site === undefined || identity === undefined ? undefined : { site, identity };
}

/** Opens the repository, works with it, and closes; another repository than the pinned one is a `conflict`. */
export async function withRepository<T>(context: Context, work: (repository: Repository) => Promise<T>): Promise<T> {
  const storage = await openSettingsStorage(context);
  try {
    return await work(await openSettingsRepository(context, storage));
  } finally {
    await storage.close();
  }
}
