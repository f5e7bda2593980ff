import type { Settings } from '../core/settings.ts';
import type { Repository } from '../repository/repository.ts';
import { makePace, withPace } from '../storage/pace.ts';

/**
 * The repository for what is sent in bulk: its objects go no faster than the operator allows. Records stay as fast as they
 * are, and so does WAL, which PostgreSQL keeps on its own disk until it is stored.
 */
export function atUploadLimit(
  repository: Repository,
  { uploadBytesPerSecond }: Pick<Settings, 'uploadBytesPerSecond'>,
): Repository {
  if (uploadBytesPerSecond === undefined) return repository;
  return { ...repository, storage: withPace(repository.storage, makePace(uploadBytesPerSecond)) };
}
