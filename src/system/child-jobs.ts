import type { JobRunning } from '../core/job.ts';
import type { Clock } from './clock.ts';
import { environment } from './environment.ts';
import { jobFolder } from './job-folder.ts';
import { makeJobs, type Jobs } from './jobs.ts';
import { startDetached } from './process.ts';
import { isRunning } from './process-mark.ts';

/**
 * Jobs as processes of their own, where there is no systemd. `program` is how the command is called. They outlive who
 * started them, and a later process that got the number of one is not believed to be it.
 */
export function childJobs(home: string, program: readonly string[], clock: Clock, stopPatienceMs?: number): Jobs {
  const [command = '', ...args] = program;
  return makeJobs(
    home,
    {
      start: async (id) => {
        startDetached(command, [...args, 'run-job', id, '--home', home], {
          onlyEnv: environment.outsideHooks(),
          logFile: jobFolder(home, id).log,
        });
      },
      isAlive: async (_id, running) => (await livingOf(running)).length > 0,
      stop: async (_id, running, how) => {
        const living = await livingOf(running);
        // The runner passes it on, so that the verb hears it once; by force nobody is asked.
        const told = how === 'ask' ? living.slice(0, 1) : living;
        for (const pid of told) signal(pid, how === 'ask' ? 'SIGTERM' : 'SIGKILL');
      },
    },
    clock,
    stopPatienceMs,
  );
}

async function livingOf(running: JobRunning | undefined): Promise<readonly number[]> {
  const living: number[] = [];
  for (const mark of [running?.runner, running?.verb]) {
    if (mark !== undefined && mark !== null && (await isRunning(mark))) living.push(mark.pid);
  }
  return living;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended by itself a moment ago.
  }
}
