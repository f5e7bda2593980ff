import { dirname } from 'node:path';
import type { DestinationAccess } from '../core/destination-access.ts';
import type { Destination } from '../core/destination.ts';
import type { Encryption } from '../core/encryption.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { isSharedFolder } from '../repository/layout.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import { openStorage } from '../storage/open.ts';
import type { Storage } from '../storage/storage.ts';
import { readSettings } from '../system/home.ts';

/** Where a repository lies, and how to get in there. */
export interface ExpectedAt {
  readonly destination: Destination;
  readonly access: DestinationAccess;
  /** What its secret objects are stored and opened with. */
  readonly encryption: Encryption;
  /** The unit's folder. */
  readonly privateFolder: string;
}

/** Opens a destination with an access of the settings, which count anew while it is open. */
export async function openAt({ destination, access, privateFolder }: Omit<ExpectedAt, 'encryption'>): Promise<Storage> {
  const reread = async () => (await readSettings(dirname(privateFolder))).access;
  return await openStorage(destination, { isShared: isSharedFolder, access, reread, privateFolder });
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
