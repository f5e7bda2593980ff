import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, isFailure } from '../core/failure.ts';
import { start } from './process.ts';

/** A lock that is held; the kernel frees it when this process ends, however it ends. */
export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes an exclusive lock on a file, or fails with `busy` at once when another process holds it.
 *
 * `flock(1)` holds it on behalf of this process: its child ends when the pipe from here closes. Node has no `flock(2)`.
 * It ignores the signals that a terminal sends to all: this process may go on after Ctrl-C, to end in good order.
 */
export async function takeLock(path: string, what: string): Promise<Lock> {
  const taken = 76;
  const script = `trap '' HUP INT TERM; exec flock --exclusive --nonblock --conflict-exit-code ${taken} "$0" sh -c 'echo held; exec cat'`;
  const holder = start('sh', ['-c', script, path], { keepInput: true });
  const answered = await Promise.race([firstBytes(holder.stdout), holder.ended.then(() => false)]);
  if (!answered) {
    const { exitCode, stderr } = await holder.ended;
    if (exitCode === taken) {
      throw new Failure('busy', `${what} is already running`, { hint: 'Wait for it to end, then try again.' });
    }
    throw new Failure('machine', `the lock ${path} could not be taken: ${stderr.trim()}`);
  }
  return {
    release: async () => {
      holder.closeInput();
      await holder.ended;
    },
  };
}

const waitMs = 250;

/** Takes a lock, waiting for one who is about to finish; then `busy`. */
export async function takeLockWithin(milliseconds: number, path: string, what: string): Promise<Lock> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await takeLock(path, what);
    } catch (error) {
      if (!isFailure(error, 'busy') || attempt >= milliseconds / waitMs) throw error;
      await sleep(waitMs);
    }
  }
}

/** Tells whether another process holds a lock. */
export async function isLockHeld(path: string): Promise<boolean> {
  try {
    const lock = await takeLock(path, path);
    await lock.release();
    return false;
  } catch (error) {
    if (isFailure(error, 'busy')) return true;
    throw error;
  }
}

async function firstBytes(stream: AsyncIterable<unknown> | undefined): Promise<boolean> {
  if (stream === undefined) return false;
  for await (const _chunk of stream) return true;
  return false;
}
