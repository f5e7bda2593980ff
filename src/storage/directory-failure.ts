import { Failure } from '../core/failure.ts';
import { errorCode } from '../system/files.ts';

interface Saying {
  readonly kind: 'unavailable' | 'refused';
  readonly what: string;
  readonly hint: string;
}

const sayings: Readonly<Record<string, Saying>> = {
  ENOSPC: {
    kind: 'unavailable',
    what: 'the disk is full',
    hint: 'Make room there; what waits is kept and tried again.',
  },
  EDQUOT: {
    kind: 'unavailable',
    what: 'the quota is used up',
    hint: 'Raise the quota or make room; what waits is kept and tried again.',
  },
  EROFS: {
    kind: 'unavailable',
    what: 'the file system is read-only',
    hint: 'Mount it read-write; look for disk errors in the kernel log.',
  },
  EIO: { kind: 'unavailable', what: 'an I/O error', hint: 'Look for disk or network errors in the kernel log.' },
  ESTALE: { kind: 'unavailable', what: 'a stale NFS handle', hint: 'Mount the NFS share again.' },
  EACCES: { kind: 'refused', what: 'permission denied', hint: '' },
  EPERM: { kind: 'refused', what: 'operation not permitted', hint: '' },
};

/** Says what an error of the operating system means for a path in a destination; our own failures pass as they are. */
export function directoryFailure(error: unknown, path: string): Failure {
  if (error instanceof Failure) return error;
  const code = errorCode(error) ?? String(error);
  const saying = sayings[code] ?? { kind: 'unavailable', what: code, hint: 'Is the destination mounted and healthy?' };
  const hint =
    saying.kind === 'refused'
      ? `This process runs as uid ${process.geteuid?.() ?? '?'}, gid ${process.getegid?.() ?? '?'}: give it the right to this path.`
      : saying.hint;
  return new Failure(saying.kind, `${path}: ${saying.what}`, { hint, cause: error });
}

/** What a question to the file system answers; its error becomes what it means for the path. */
export async function saidOf<T>(path: string, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw directoryFailure(error, path);
  }
}
