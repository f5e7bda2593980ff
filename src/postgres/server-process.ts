import { open, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../core/failure.ts';
import { errorCode, readText } from '../system/files.ts';

/**
 * The process id of the server that runs in a data directory, whoever started it; `undefined` when none does.
 *
 * The lock file alone may be a dead server's whose number another process has by now: the server works in its directory.
 */
export async function findServer(dataDirectory: string): Promise<number | undefined> {
  const pid = Number((await readText(join(dataDirectory, 'postmaster.pid')))?.split('\n')[0]);
  if (!Number.isSafeInteger(pid) || pid < 2) return undefined;
  try {
    const [works, directory] = [await stat(await readlink(`/proc/${pid}/cwd`)), await stat(dataDirectory)];
    return works.dev === directory.dev && works.ino === directory.ino ? pid : undefined;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined;
    throw new Failure('machine', `process ${pid} could not be looked at: ${errorCode(error) ?? String(error)}`, {
      hint: `Is it the server of ${dataDirectory}? Stop it, then try again.`,
      cause: error,
    });
  }
}

const pollMs = 50;

/** Stops the server in a data directory, if one runs: fast at first, at once when that takes too long. */
export async function stopServer(dataDirectory: string, fastMs = 600_000): Promise<void> {
  for (const [signal, patienceMs] of [
    ['SIGINT', fastMs],
    ['SIGQUIT', 60_000],
  ] as const) {
    const pid = await findServer(dataDirectory);
    if (pid === undefined) return;
    sendSignal(pid, signal);
    for (let waited = 0; waited < patienceMs; waited += pollMs) {
      if ((await findServer(dataDirectory)) === undefined) return;
      await sleep(pollMs);
    }
  }
  throw new Failure('postgres', `the server in ${dataDirectory} does not stop`, {
    hint: 'Look at its log, stop it, then go on with landscape-backup restore --continue.',
  });
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

/** Source: DBState in pg_control.h, the same from 9.5 to 18. */
const inProduction = 6;
const stateOffset = 16;

/** Tells whether `pg_control` says "in production": read straight from the file, because it is asked many times a minute. */
export async function isInProduction(dataDirectory: string): Promise<boolean> {
  const handle = await open(join(dataDirectory, 'global', 'pg_control'), 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, stateOffset);
    return bytesRead === 4 && buffer.readInt32LE(0) === inProduction;
  } finally {
    await handle.close();
  }
}
