import type { Destination } from '../core/destination.ts';
import type { SharedFolder } from './directory-folders.ts';
import { openDirectory } from './directory.ts';
import type { Storage } from './storage.ts';

/** Opens a destination. Nothing is created; a destination that is not there is `unavailable`. */
export async function openStorage(destination: Destination, isShared: SharedFolder): Promise<Storage> {
  return await openDirectory(destination.path, { url: destination.url, isShared });
}
