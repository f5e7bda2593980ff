import { Failure, toFailure } from '../core/failure.ts';
import { environment } from './environment.ts';
import { run } from './process.ts';
import { readUnitIdentity } from './unit-identity.ts';

/** The agent runs it when the machine's other hooks are through; later than this the next update-status finds the job. */
const patienceMs = 5 * 60_000;

/**
 * Has the unit's agent dispatch `hooks/job-ended`, so that the charm looks at a job that has ended. Where no charm is,
 * nothing happens. Gives back why it could not, which is for a log: without it `update-status` finds the same a little later.
 */
export async function wakeCharm(home: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const identity = await readUnitIdentity(home);
    if (identity === undefined) return undefined;
    const directory = `'${identity.charmDirectory.replaceAll("'", String.raw`'\''`)}/dispatch'`;
    const script = `JUJU_DISPATCH_PATH=hooks/job-ended ${directory}`;
    const onlyEnv = environment.outsideHooks();
    await run(await findProgram(onlyEnv), [identity.unit, script], { onlyEnv, timeoutMs: patienceMs, signal });
    return undefined;
  } catch (error) {
    return `the charm was not woken, it looks by itself at its next update-status: ${toFailure(error).message}`;
  }
}

/** `juju-exec`, or what it was called before Juju 3. */
async function findProgram(onlyEnv: Readonly<Record<string, string>>): Promise<string> {
  for (const name of ['juju-exec', 'juju-run']) {
    const { exitCode } = await run('sh', ['-c', 'command -v "$0"', name], { onlyEnv, answers: [1, 127] });
    if (exitCode === 0) return name;
  }
  throw new Failure('machine', 'neither juju-exec nor juju-run is installed');
}
