import { Failure, isFailure } from '../core/failure.ts';
import { ownerSchema, type Incarnation, type Owner } from '../core/incarnation.ts';
import { layout, type Place } from './layout.ts';
import type { Repository } from './repository.ts';
import { putUnlessThere } from './small-object.ts';

/** The incarnations of a cluster, oldest first; an unreadable owner is `damaged`, never "nobody". */
export async function listIncarnations(
  repository: Repository,
  systemIdentifier: string,
): Promise<readonly Incarnation[]> {
  const found: Incarnation[] = [];
  for (const folder of await repository.storage.folders(layout.cluster(systemIdentifier))) {
    const match = /^(\d+)\/$/.exec(folder);
    if (match === null) continue;
    const number = Number(match[1]);
    const owner = await repository.readJson(layout.owner({ systemIdentifier, incarnation: number }), ownerSchema);
    // The folder of a claim that was interrupted before its only object was complete holds nothing.
    if (owner !== undefined) found.push({ number, owner });
  }
  return found.sort((a, b) => a.number - b.number);
}

/** The system identifiers of all clusters in the repository. */
export async function listClusters(repository: Repository): Promise<readonly string[]> {
  const folders = await repository.storage.folders(layout.clusters);
  return folders.flatMap((folder) => /^(\d+)\/$/.exec(folder)?.[1] ?? []);
}

/**
 * Makes the folder in which guests leave their leases, with its own rights: the incarnation's folder is the owner's, and a
 * guest of the same group could not make it there.
 */
async function openToGuests(repository: Repository, place: Place): Promise<void> {
  const text = 'Who restores from here says so in this folder, so that nothing it needs is pruned meanwhile.\n';
  await putUnlessThere(repository.storage, `${layout.guests(place)}README.txt`, text);
}

/**
 * Claims an incarnation by creating its owner record. A claim that is repeated by the same owner succeeds.
 *
 * Fails with `refused` when somebody else was faster.
 */
export async function claimIncarnation(
  repository: Repository,
  systemIdentifier: string,
  number: number,
  owner: Owner,
): Promise<Incarnation> {
  const place: Place = { systemIdentifier, incarnation: number };
  const key = layout.owner(place);
  try {
    await repository.writeJson(key, ownerSchema, owner);
    await openToGuests(repository, place);
    return { number, owner };
  } catch (error) {
    if (!isFailure(error, 'conflict')) throw error;
  }
  const found = await repository.readJson(key, ownerSchema);
  if (found?.ownerId === owner.ownerId) {
    await openToGuests(repository, place);
    return { number, owner: found };
  }
  throw new Failure(
    'refused',
    `incarnation ${number} of cluster ${systemIdentifier} belongs to ${found?.unit ?? 'somebody else'} already`,
    {
      hint: 'Look at landscape-backup status, then decide again.',
    },
  );
}

/** The number that a cluster's next incarnation gets. */
export function nextIncarnation(incarnations: readonly Incarnation[]): number {
  return Math.max(0, ...incarnations.map(({ number }) => number)) + 1;
}
