import { Failure } from '../core/failure.ts';

/** What an SFTP server answers instead of success; the numbers are the protocol's. */
export const sftpCodes = { noSuchFile: 2, permissionDenied: 3, failure: 4, badMessage: 5, unsupported: 8 } as const;

/** An answer of the server that is no success. It says little: most errors of its system are all "Failure". */
export class SftpRefusal extends Error {
  readonly code: number;

  constructor(code: number, text: string) {
    super(text);
    this.name = 'SftpRefusal';
    this.code = code;
  }
}

/** Tells whether an error is the server's answer with one of these codes. */
export function isRefusal(error: unknown, ...codes: readonly number[]): error is SftpRefusal {
  return error instanceof SftpRefusal && (codes.length === 0 || codes.includes(error.code));
}

/** What an error means for a path at an SFTP destination; failures of our own pass as they are. */
export function sftpFailure(error: unknown, path: string, user: string): Failure {
  if (error instanceof Failure) return error;
  if (isRefusal(error, sftpCodes.permissionDenied)) {
    return new Failure('refused', `${path} on the SFTP server: permission denied`, {
      hint: `The user ${user} of the server needs the right to this path.`,
      cause: error,
    });
  }
  const text = error instanceof Error ? error.message : String(error);
  return new Failure('unavailable', `${path} on the SFTP server: ${text}`, {
    hint: 'The server says no more than that: is its disk full, the quota of this user used up, its disk healthy?',
    cause: error,
  });
}

/** The same for bytes that could not be written, where the room that is left tells the likeliest cause. */
export function writeFailure(error: unknown, path: string, user: string, freeBytes: number | undefined): Failure {
  if (!isRefusal(error, sftpCodes.failure)) return sftpFailure(error, path, user);
  const isFull = freeBytes !== undefined && freeBytes < 1024 * 1024;
  const what = isFull ? 'the disk is full' : "the bytes were not taken: this user's quota is used up, or an I/O error";
  return new Failure('unavailable', `${path} on the SFTP server: ${what}`, {
    hint: isFull
      ? 'Make room there; what waits is kept and tried again.'
      : `Look at the quota of ${user} (quota -u ${user}) and at the kernel log of the server; what waits is kept and tried again.`,
    cause: error,
  });
}
