import { archiveCommand } from '../core/archiving-decision.ts';
import { isFailure } from '../core/failure.ts';
import type { Owner } from '../core/incarnation.ts';
import { foreseeRestart } from '../postgres/archiving.ts';
import { claimIncarnation } from '../repository/incarnations.ts';
import { createRepository, openRepository, type Repository } from '../repository/repository.ts';
import type { Storage } from '../storage/storage.ts';
import { randomName, writeJson } from '../system/files.ts';
import { pinSchema, writeOwnerState } from '../system/home.ts';
import { refuseUnmounted } from '../system/mounts.ts';
import { configure, readStanding, refuseDuringRestore, type Configured } from './configure.ts';
import { expectedRepository, openSettingsStorage, takeLockSoon, type JobContext } from './job-context.ts';

/** What `init` came to. */
export interface Initialized extends Configured {
  readonly repositoryId: string;
  readonly url: string;
  /** The repository was made by this call. */
  readonly created: boolean;
  readonly systemIdentifier: string;
}

/**
 * Joins a cluster to the repository: creates the repository (nothing else does) or joins the one that is there, pins it,
 * claims the first incarnation of a cluster that the repository does not know, and sets archiving. May be repeated.
 *
 * With `join` the repository must exist, and becomes this unit's even where another one was pinned. A cluster that the
 * repository knows from somebody else stays a copy: nothing of it is claimed here.
 */
export async function init(context: JobContext, options: { readonly join: boolean }): Promise<Initialized> {
  const { settings, cluster, unit } = context;
  await refuseDuringRestore(context);
  if (settings.destination?.kind === 'directory') await refuseUnmounted(settings.destination.path);
  const storage = await openSettingsStorage(context);
  try {
    if (cluster.running) await refuseForeign(context);
    const lock = await takeLockSoon(unit, 'init', `landscape-backup init for ${cluster.label}`);
    try {
      const { repository, created } = await openOrCreate(context, storage, options.join);
      await writeJson(unit.pin, pinSchema, { repositoryId: repository.record.id, url: storage.url });
      const systemIdentifier = await claimFirst(context, repository);
      const configured = await configure(context, repository);
      return { repositoryId: repository.record.id, url: storage.url, created, systemIdentifier, ...configured };
    } finally {
      await lock.release();
    }
  } finally {
    await storage.close();
  }
}

/** Before anything is made: somebody else's archiving would leave this cluster with half of its WAL. */
async function refuseForeign({ cluster, unit, runtime, settings }: JobContext): Promise<void> {
  await foreseeRestart(cluster, unit, {
    walArchiving: settings.walArchiving,
    walMethod: settings.walMethod,
    standing: 'owner',
    command: archiveCommand(runtime, unit.path),
    timeoutSeconds: settings.archiveTimeoutSeconds,
  });
}

async function openOrCreate(
  context: JobContext,
  storage: Storage,
  join: boolean,
): Promise<{ repository: Repository; created: boolean }> {
  const { encryption, repository } = context.settings;
  if (join) return { repository: await openRepository(storage, repository, encryption), created: false };
  const expected = await expectedRepository(context);
  // Once chosen, a destination that holds nothing is not new: it is not mounted, or it was lost.
  if (expected !== undefined)
    return { repository: await openRepository(storage, expected, encryption), created: false };
  return await createRepository(storage, context.clock.now(), encryption);
}

/** Claims incarnation 1 of a cluster that nobody knows; gives back its system identifier. */
async function claimFirst(context: JobContext, repository: Repository): Promise<string> {
  const { unit, clock, identity } = context;
  const { systemIdentifier, state, incarnations } = await readStanding(context, repository);
  if (incarnations.length > 0) return systemIdentifier;
  repository.keys.recipients(); // Who claims is going to store, and nothing could be stored otherwise.
  const ownerId = state?.ownerId ?? randomName(16);
  // Durable before the claim: who dies in between finds its own claim again, and nobody else's.
  await writeOwnerState(unit, { ownerId, systemIdentifier, incarnation: 1 });
  const owner: Owner = { format: 1, ownerId, ...identity, since: clock.now(), parent: null };
  try {
    await claimIncarnation(repository, systemIdentifier, 1, owner);
  } catch (error) {
    // A second machine with the same cluster was faster: this one is the copy, which `configure` finds by itself.
    if (!isFailure(error, 'refused')) throw error;
  }
  return systemIdentifier;
}
