import type { Clock } from './clock.ts';
import { makeJobs, type Jobs } from './jobs.ts';
import { run } from './process.ts';

/** States of a systemd unit in which its process is there, or on its way. */
const aliveStates: readonly string[] = ['active', 'activating', 'reloading', 'deactivating'];

/** Jobs as instances of a systemd template unit (`landscape-backup-0-job`): they survive agents, hooks and actions. */
export function systemdJobs(home: string, template: string, clock: Clock): Jobs {
  const unitOf = (id: string) => `${template}@${id}.service`;
  return makeJobs(
    home,
    {
      start: async (id) => {
        await run('systemctl', ['start', '--no-block', unitOf(id)]);
      },
      isAlive: async (id) => {
        // It says the state whatever it exits with: 3 and 4 are its ways to say that a unit does not run.
        const { stdout } = await run('systemctl', ['is-active', unitOf(id)], { answers: [1, 2, 3, 4] });
        return aliveStates.includes(stdout.trim());
      },
      stop: async (id, _running, how) => {
        if (how === 'ask') await run('systemctl', ['stop', '--no-block', unitOf(id)], { answers: [5] });
        else await run('systemctl', ['kill', '--signal=SIGKILL', unitOf(id)], { answers: [1, 5] });
      },
    },
    clock,
    stopPatienceMs,
  );
}

/** Longer than the `TimeoutStopSec` of the template: systemd ends by force first, with all that belongs to the job. */
const stopPatienceMs = 75_000;
