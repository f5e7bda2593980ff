import type { DestinationPlace } from '../core/destination-options.ts';
import { isSameAccess } from '../core/destination-access.ts';
import { openStorage } from '../storage/open.ts';
import type { Storage } from '../storage/storage.ts';
import { LackingFolder } from '../system/lacking.ts';
import { DoubledStorage } from './doubled-storage.ts';
import { isSharedFolder } from './layout.ts';
import { LazyPlace, TwoPlaces } from './second-place.ts';

/** The destinations of the settings, and how to get in there. */
export interface DestinationsAt extends DestinationPlace {
  /** `undefined`: there is one only. */
  readonly second: DestinationPlace | undefined;
  /** The unit's folder. */
  readonly privateFolder: string;
  /** Says what the settings say by now. */
  readonly reread: () => Promise<Pick<DestinationsAt, 'access' | 'second'>>;
}

/** How long a destination may be silent while the other one answers. */
const patienceMs = 30_000;

/** Opens one destination, or two behind the interface of one. Fails as `openStorage` does; two are opened when they are needed. */
export async function openDestinations(at: DestinationsAt): Promise<Storage> {
  if (at.second === undefined) return await openFirst(at);
  return new DoubledStorage(twoPlaces({ ...at, second: at.second }), { stallMs: patienceMs });
}

/** Both destinations and what is known of them; nothing is opened yet. */
export function twoPlaces(at: DestinationsAt & { readonly second: DestinationPlace }): TwoPlaces {
  return new TwoPlaces(
    new LazyPlace(at.destination.url, async () => await openFirst(at)),
    new LazyPlace(at.second.destination.url, async () => await openSecond(at, at.second)),
    new LackingFolder(at.privateFolder),
    patienceMs,
  );
}

/** Opens the destination alone. */
export async function openFirst({ destination, access, privateFolder, reread }: DestinationsAt): Promise<Storage> {
  return await openStorage(destination, {
    isShared: isSharedFolder,
    access,
    reread: async () => (await reread()).access,
    privateFolder,
  });
}

/** Opens the second destination alone. */
export async function openSecond(
  { privateFolder, reread }: Pick<DestinationsAt, 'privateFolder' | 'reread'>,
  second: DestinationPlace,
): Promise<Storage> {
  return await openStorage(second.destination, {
    isShared: isSharedFolder,
    access: second.access,
    reread: async () => (await reread()).second?.access ?? second.access,
    privateFolder,
  });
}

/** Tells whether two are the same destinations with the same access, secrets included. */
export function isSamePlaces(one: PlacesAt, other: PlacesAt): boolean {
  if (!isSamePlace(one, other)) return false;
  if (one.second === undefined || other.second === undefined) return one.second === other.second;
  return isSamePlace(one.second, other.second);
}

type PlacesAt = Pick<DestinationsAt, 'destination' | 'access' | 'second'>;

function isSamePlace(one: DestinationPlace, other: DestinationPlace): boolean {
  return one.destination.url === other.destination.url && isSameAccess(one.access, other.access);
}
