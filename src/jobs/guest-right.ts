import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readDestination } from '../core/destination.ts';
import { layout, type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { errorCode } from '../system/files.ts';

/** Tells whether this user could leave a guest's lease in an incarnation. Asks for rights only; nothing is written. */
export async function canLeaveLease(repository: Repository, place: Place): Promise<boolean> {
  const destination = readDestination(repository.storage.url);
  if (typeof destination === 'string') return false;
  let folder = join(destination.path, layout.guests(place));
  for (;;) {
    try {
      await access(folder, constants.W_OK | constants.X_OK);
      return true;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || folder === destination.path) return false;
      folder = dirname(folder);
    }
  }
}
