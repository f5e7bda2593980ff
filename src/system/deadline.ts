import { Failure } from '../core/failure.ts';

/**
 * Waits for work, but no longer than this: then it is `unavailable`, and what the work still does is nobody's any more.
 *
 * A request to a file system that doesn't answer can't be taken back; who ends after this must end with `SIGKILL`, because
 * the exit of a process waits for its requests.
 */
export async function within<T>(milliseconds: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(
        new Failure('unavailable', `${what} took longer than ${Math.round(milliseconds / 100) / 10} s`, {
          hint: 'Does the destination answer? Look at its mount and its load.',
        }),
      );
    }, milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
