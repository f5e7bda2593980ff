import { dirname } from 'node:path';
import type { DestinationPlace } from '../core/destination-options.ts';
import type { Encryption } from '../core/encryption.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { openDestinations } from '../repository/open-destinations.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import type { Storage } from '../storage/storage.ts';
import { readSettings } from '../system/home.ts';

/** Where a repository lies, and how to get in there. */
export interface ExpectedAt extends DestinationPlace {
  /** Where it lies once more; `undefined`: nowhere, or only this one is meant. */
  readonly second: DestinationPlace | undefined;
  /** What its secret objects are stored and opened with. */
  readonly encryption: Encryption;
  /** The unit's folder. */
  readonly privateFolder: string;
}

/** Opens the destinations with an access of the settings, which count anew while they are open. */
export async function openAt(at: Omit<ExpectedAt, 'encryption'>): Promise<Storage> {
  return await openDestinations({ ...at, reread: async () => await readSettings(dirname(at.privateFolder)) });
}

/** Opens the repository with this id, works with it, and closes. Fails as `openExpected` does. */
export async function withExpected<T>(
  at: ExpectedAt,
  id: string,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  const storage = await openAt(at);
  try {
    return await work(await openExpected(storage, id, at.encryption));
  } finally {
    await storage.close();
  }
}

/**
 * Opens the repository with this id at a storage.
 *
 * That there is none, or another one, is `unavailable`: the right file system may be mounted in a moment.
 */
export async function openExpected(storage: Storage, id: string, encryption: Encryption): Promise<Repository> {
  return await openRepository(storage, id, encryption).catch((error: unknown) => {
    if (!isFailure(error, 'missing', 'conflict')) throw error;
    throw new Failure('unavailable', error.message, { hint: error.hint, cause: error });
  });
}
