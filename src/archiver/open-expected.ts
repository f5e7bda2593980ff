import type { Destination } from '../core/destination.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { isSharedFolder } from '../repository/layout.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import { openStorage } from '../storage/open.ts';
import type { Storage } from '../storage/storage.ts';

/** Opens the repository with this id, works with it, and closes. Fails as `openExpected` does. */
export async function withExpected<T>(
  destination: Destination,
  id: string,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  const storage = await openStorage(destination, isSharedFolder);
  try {
    return await work(await openExpected(storage, id));
  } finally {
    await storage.close();
  }
}

/**
 * Opens the repository with this id at a storage.
 *
 * That there is none, or another one, is `unavailable`: the right file system may be mounted in a moment.
 */
export async function openExpected(storage: Storage, id: string): Promise<Repository> {
  return await openRepository(storage, id).catch((error: unknown) => {
    if (!isFailure(error, 'missing', 'conflict')) throw error;
    throw new Failure('unavailable', error.message, { hint: error.hint, cause: error });
  });
}
