import { writeSync } from 'node:fs';
import { toFailure } from '../../core/failure.ts';

/** The codes that Node and the shell never produce by themselves; the fronts alone know what PostgreSQL wants instead. */
export const walCodes = { done: 97, absent: 98, failed: 1 } as const;

/**
 * Runs one of the programs that PostgreSQL calls, and ends the process with what the work says.
 *
 * A failure is one line in PostgreSQL's log; one that the log has already is only the code. Whatever ends the process on another way (an uncaught error, a promise that
 * nobody settles) gives another code, and the front reads that as failed.
 */
export async function runWalProgram(program: string, work: () => Promise<number>): Promise<void> {
  try {
    const code = await work();
    if (code !== walCodes.failed) process.exit(code);
  } catch (error) {
    const { message, hint } = toFailure(error);
    say(`landscape-backup ${program}: ${message}${hint === undefined ? '' : `. ${hint}`}`);
  }
  leave();
}

/** Written at once and in one piece; nobody listening is no reason to fail in another way. */
function say(text: string): void {
  try {
    writeSync(2, `${text.replaceAll(/\s+/g, ' ')}\n`);
  } catch {
    // The server's log is gone: the exit code still tells.
  }
}

/** An exit waits for requests to file systems, for ever where one doesn't answer; `SIGKILL` does not. */
function leave(): void {
  // In a turn of its own: the request whose answer brought us here counts as active until this one ends.
  setImmediate(() => {
    const waits = process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'));
    if (waits) process.kill(process.pid, 'SIGKILL');
    else process.exit(walCodes.failed);
  });
}
