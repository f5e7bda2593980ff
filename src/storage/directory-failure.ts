import { Failure } from '../core/failure.ts';
import { errorCode } from '../system/files.ts';

const sayings: Readonly<Record<string, { readonly kind: 'unavailable' | 'refused'; readonly what: string; readonly hint: string }>> = {
  ENOSPC: { kind: 'unavailable', what: 'the disk is full', hint: 'Make room there; what waits is kept and tried again.' },
  EDQUOT: { kind: 'unavailable', what: 'the quota is used up', hint: 'Raise the quota or make room; what waits is kept and tried again.' },
  EROFS: { kind: 'unavailable', what: 'the file system is read-only', hint: 'Mount it read-write; look for disk errors in the kernel log.' },
  EIO: { kind: 'unavailable', what: 'an I/O error', hint: 'Look for disk or network errors in the kernel log.' },
  ESTALE: { kind: 'unavailable', what: 'a stale NFS handle', hint: 'Mount the NFS share again.' },
  EACCES: { kind: 'refused', what: 'permission denied', hint: '' },
  EPERM: { kind: 'refused', what: 'operation not permitted', hint: '' },
};

/** Says what an error of the operating system means for a path in a destination; our own failures pass as they are. */
export function directoryFailure(error: unknown, path: string): Failure {
  if (error instanceof Failure) return error;
  const code = errorCode(error);
  if (code === undefined) return passOn(error, path);
  const saying = sayings[code] ?? { kind: 'unavailable', what: code, hint: 'Is the destination mounted and healthy?' };
  const hint =
    saying.kind === 'refused'
      ? `This process runs as uid ${process.geteuid?.() ?? '?'}, gid ${process.getegid?.() ?? '?'}: give it the right to this path.`
      : saying.hint;
  return new Failure(saying.kind, `${path}: ${saying.what}`, { hint, cause: error });
}

/** An error that the operating system did not make came with the body of a put: it is passed on as it is. */
function passOn(error: unknown, path: string): Failure {
  return new Failure('internal', `writing ${path} was interrupted: ${error instanceof Error ? error.message : String(error)}`, {
    cause: error,
  });
}
