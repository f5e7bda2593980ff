import type { SlotSteps } from '../archiver/wal-steps.ts';
import { Failure, isFailure } from '../core/failure.ts';
import type { Settings } from '../core/settings.ts';
import type { Cluster } from '../postgres/cluster.ts';
import type { Control } from '../postgres/control.ts';
import { openDestinations, openFirst, openSecond, type DestinationsAt } from '../repository/open-destinations.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import type { Storage } from '../storage/storage.ts';
import type { Clock } from '../system/clock.ts';
import { within } from '../system/deadline.ts';
import { makePrivateFolder, readPin, readSettings, settingsFile, type UnitFolder } from '../system/home.ts';
import type { Identity } from '../system/identity.ts';
import { takeLockWithin, type Lock } from '../system/lock.ts';

const readablePatienceMs = 30_000;

/** What the jobs about a unit's place in the repository start from. They run as the cluster's owner. */
export interface JobContext {
  readonly home: string;
  /** Where the fronts lie, as PostgreSQL will be told. */
  readonly runtime: string;
  readonly settings: Settings;
  readonly cluster: Cluster;
  readonly unit: UnitFolder;
  readonly clock: Clock;
  /** Who this unit is in names at the destination. */
  readonly identity: Identity;
  /** Starts and stops the cluster, where the settings allow a restart. */
  readonly control: Control;
  /** Told of each instant at which a job that makes or drops a stream's slot may die. */
  readonly step?: SlotSteps;
}

/** Opens the destination of the settings, or both. Fails with `settings` when there is none. */
export async function openSettingsStorage({
  settings,
  home,
  unit,
}: Pick<JobContext, 'settings' | 'home' | 'unit'>): Promise<Storage> {
  return await openDestinations(destinationsAt({ settings, home, unit }));
}

/** Opens the destination of the settings for one who only reads: the second where the first can't be had. */
export async function openReadable(context: Pick<JobContext, 'settings' | 'home' | 'unit'>): Promise<Storage> {
  const at = destinationsAt(context);
  if (at.second === undefined) return await openSettingsStorage(context);
  const first = (async () => {
    const storage = await openFirst(at);
    await openSettingsRepository(context, storage);
    return storage;
  })();
  try {
    return await within(readablePatienceMs, at.destination.url, first);
  } catch (error) {
    if (!isFailure(error, 'unavailable', 'missing')) throw error;
    return await openSecond(at, at.second);
  }
}

/** The destinations of the settings as they are opened. Fails with `settings` when there is none. */
export function destinationsAt({
  settings,
  home,
  unit,
}: Pick<JobContext, 'settings' | 'home' | 'unit'>): DestinationsAt {
  const { destination, access, second } = settings;
  const reread = async () => await readSettings(home);
  if (destination !== undefined) return { destination, access, second, reread, privateFolder: unit.path };
  throw new Failure('settings', 'the option destination is empty', {
    hint: `Write "destination: /srv/backup" (a mounted directory on another machine) into ${settingsFile(home)}.`,
  });
}

/** The repository that must lie at the destination: the one that the settings name, else the one that this unit is pinned to. */
export async function expectedRepository({
  settings,
  unit,
}: Pick<JobContext, 'settings' | 'unit'>): Promise<string | undefined> {
  return settings.repository ?? (await readPin(unit))?.repositoryId;
}

/** Opens the repository that is expected at the destination, with the keys of the settings. Fails as `openRepository` does. */
export async function openSettingsRepository(
  context: Pick<JobContext, 'settings' | 'unit'>,
  storage: Storage,
): Promise<Repository> {
  return await openRepository(storage, await expectedRepository(context), context.settings.encryption);
}

const patienceMs = 20_000;

/** Takes a lock of the unit, whose folder is made where it is missing, waiting up to 20 s for one who is about to finish; then `busy`. */
export async function takeLockSoon(unit: UnitFolder, name: string, what: string): Promise<Lock> {
  await makePrivateFolder(unit.path);
  return await takeLockWithin(patienceMs, unit.lock(name), what);
}

/** Works under such a lock. */
export async function underLock<T>(unit: UnitFolder, name: string, what: string, work: () => Promise<T>): Promise<T> {
  const lock = await takeLockSoon(unit, name, what);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
