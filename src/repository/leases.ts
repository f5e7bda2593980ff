import { leaseSchema, type Lease } from '../core/record.ts';
import type { HeldLease } from '../core/catalogue.ts';
import { layout, safe, type Place } from './layout.ts';
import { appendRecord, newestRecord } from './records.ts';
import type { Repository } from './repository.ts';

/** A lease that is held: `beat` says that its job is alive, `end` that nothing needs protection any more. */
export interface LeaseHandle {
  readonly prefix: string;
  beat(now: Date): Promise<void>;
  end(now: Date): Promise<void>;
}

/** Where a lease lies: the owner's among its own, a guest's in the guest's own folder and nowhere else. */
export type LeasePlace =
  { readonly by: 'owner' } | { readonly by: 'guest'; readonly model: string; readonly unit: string };

/** What a lease says from its beginning to its end. */
export type LeaseTerms = Omit<Lease, 'format' | 'at' | 'ended'>;

/** Takes a lease; its first record is durable when this returns. */
export async function takeLease(
  repository: Repository,
  place: Place,
  where: LeasePlace,
  terms: LeaseTerms,
  now: Date,
): Promise<LeaseHandle> {
  const folder = where.by === 'owner' ? layout.leases(place) : layout.guest(place, where.model, where.unit);
  const prefix = `${folder}${safe(terms.job)}/`;
  const say = async (at: Date, ended: boolean) => {
    await appendRecord(repository, prefix, leaseSchema, { format: 1, ...terms, at, ended });
  };
  await say(now, false);
  return { prefix, beat: async (at) => await say(at, false), end: async (at) => await say(at, true) };
}

/** All leases of an incarnation, the owner's and its guests'; one that can't be read stands as `undefined` and protects. */
export async function listLeases(repository: Repository, place: Place): Promise<readonly HeldLease[]> {
  const found: HeldLease[] = [];
  const collect = async (folder: string, isGuest: boolean) => {
    for (const name of await repository.storage.folders(folder)) {
      if (!name.endsWith('/')) continue;
      const newest = await newestRecord(repository, folder + name, leaseSchema);
      if (newest !== undefined) found.push({ key: newest.key, lease: newest.value, isGuest });
    }
  };
  await collect(layout.leases(place), false);
  for (const model of await repository.storage.folders(layout.guests(place))) {
    if (!model.endsWith('/')) continue;
    for (const unit of await repository.storage.folders(layout.guests(place) + model)) {
      await collect(layout.guests(place) + model + unit, true);
    }
  }
  return found;
}
