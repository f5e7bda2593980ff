import { ownerText } from '../core/incarnation.ts';
import { Failure } from '../core/failure.ts';
import { ownerSchema, type Owner } from '../core/incarnation.ts';
import { layout, type Place } from './layout.ts';
import type { Repository } from './repository.ts';

/** Reads who owns an incarnation and fails with `refused` unless it is this owner id: who is not the owner may only read. */
export async function proveOwnership(repository: Repository, place: Place, ownerId: string): Promise<Owner> {
  const owner = await repository.readJson(layout.owner(place), ownerSchema);
  if (owner?.ownerId === ownerId) return owner;
  const whose = owner === undefined ? 'is not in this repository' : `belongs to ${ownerText(owner)}`;
  throw new Failure('refused', `incarnation ${place.incarnation} of cluster ${place.systemIdentifier} ${whose}`, {
    hint: 'A restored copy writes nothing until landscape-backup take-over has made it the owner of a new incarnation.',
  });
}
