import type { DestinationAccess } from '../core/destination-access.ts';
import type { Destination } from '../core/destination.ts';
import type { SharedFolder } from './directory-folders.ts';
import { openDirectory } from './directory.ts';
import type { Storage } from './storage.ts';

export interface OpenOptions {
  readonly isShared: SharedFolder;
  readonly access: DestinationAccess;
  /** Says the access that is in force by now: credentials may be exchanged while something long goes on. */
  readonly reread: () => Promise<DestinationAccess>;
  /** A private folder of this user, for a key of its own and for what is on its way. It is made when it is needed. */
  readonly privateFolder: string;
}

/**
 * Opens a destination. Nothing is created there; a destination that is not there is `unavailable`.
 *
 * What a kind of destination stands on is loaded only where it is used: it costs a tenth of a second with every segment.
 */
export async function openStorage(destination: Destination, options: OpenOptions): Promise<Storage> {
  const { isShared, access, reread, privateFolder } = options;
  switch (destination.kind) {
    case 'directory':
      return await openDirectory(destination.path, { url: destination.url, isShared });
    case 'sftp': {
      const { openSftp } = await import('./sftp.ts');
      return await openSftp(destination, { isShared, access: access.sftp, privateFolder });
    }
    case 's3': {
      const { openS3 } = await import('./s3.ts');
      return await openS3(destination, { access: access.s3, reread: async () => (await reread()).s3, privateFolder });
    }
  }
}
