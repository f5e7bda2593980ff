import * as z from 'zod';
import type { SftpDestination } from '../core/destination.ts';
import { Failure } from '../core/failure.ts';
import { sftpFailure } from './sftp-failure.ts';
import type { SftpSession } from './sftp-session.ts';

/** What the server says of a file system; the library calls its number `f_sid`. */
const fileSystemSchema = z.object({ f_bavail: z.number(), f_frsize: z.number(), f_sid: z.number() });

export interface SftpRoot {
  /** The number of the file system; `undefined` where the server does not tell. */
  readonly fileSystem: number | undefined;
  readonly freeBytes: number | undefined;
}

/** Looks at the folder of a destination. Fails with `unavailable` where it is not there. */
export async function lookAtSftpRoot(session: SftpSession, { path, url, user }: SftpDestination): Promise<SftpRoot> {
  try {
    const [found, system] = await Promise.all([
      session.stat(path),
      // Where nothing is there, `stat` says so.
      session.fileSystem(path).catch((error: unknown) => {
        if (session.isLost) throw error;
        return undefined;
      }),
    ]);
    if (found === undefined) {
      throw new Failure('unavailable', `the destination ${url} is not there`, {
        hint: `Mount it on the server, or make the directory there: install -d -m 0750 -o ${user} ${path}`,
      });
    }
    if (!found.isDirectory()) {
      throw new Failure('refused', `the destination ${url} is not a directory`, {
        hint: 'Name a directory of the server in the option destination.',
      });
    }
    const told = fileSystemSchema.safeParse(system).data;
    return {
      fileSystem: told?.f_sid,
      freeBytes: told === undefined ? undefined : told.f_bavail * told.f_frsize,
    };
  } catch (error) {
    throw sftpFailure(error, path, user);
  }
}
