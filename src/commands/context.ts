import { Failure } from '../core/failure.ts';
import type { Settings } from '../core/settings.ts';
import { findCluster, type Cluster } from '../postgres/cluster.ts';
import { isSharedFolder } from '../repository/layout.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import { openStorage } from '../storage/open.ts';
import type { Storage } from '../storage/storage.ts';
import { machineClock, type Clock } from '../system/clock.ts';
import { readPin, readSettings, settingsFile, unitFolder, type UnitFolder } from '../system/home.ts';
import type { Progress } from './output.ts';

/** What every command starts from. */
export interface Context {
  readonly home: string;
  /** Where the fronts and bundles lie, as PostgreSQL will be told. */
  readonly runtime: string;
  readonly settings: Settings;
  readonly cluster: Cluster;
  readonly unit: UnitFolder;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly progress: (progress: Progress) => void;
}

/** Finds the cluster that is meant and reads the settings. Fails with `settings` or `usage`. */
export async function makeContext(
  options: { home: string; runtime: string; cluster: string | undefined },
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
    ...tell,
  };
}

/** Opens the destination of the settings; an empty option is a `settings` failure that says where to write it. */
export async function openDestination(context: Pick<Context, 'settings' | 'home'>): Promise<Storage> {
  const { destination } = context.settings;
  if (destination === undefined) {
    throw new Failure('settings', 'the option destination is empty', {
      hint: `Write "destination: /srv/backup" (a mounted directory on another machine) into ${settingsFile(context.home)}.`,
    });
  }
  return await openStorage(destination, isSharedFolder);
}

/** Opens the repository, works with it, and closes; another repository than the pinned one is a `conflict`. */
export async function withRepository<T>(
  context: Pick<Context, 'settings' | 'home' | 'unit'>,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  const storage = await openDestination(context);
  try {
    const pin = await readPin(context.unit);
    return await work(await openRepository(storage, pin?.repositoryId));
  } finally {
    await storage.close();
  }
}
