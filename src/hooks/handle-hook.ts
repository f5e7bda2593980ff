import { toFailure } from '../core/failure.ts';
import { isPending } from '../core/job.ts';
import type { JujuEnvironment } from '../juju/environment.ts';
import type { HookTools } from '../juju/hook-tools.ts';
import { reconcile } from './reconcile.ts';
import { readRoles } from './snapshot.ts';
import type { UnitMachine } from './unit-machine.ts';

/** Hooks in which something of this unit goes: they never fail, whatever stands in the way, and hold up no principal. */
const leaving = /^(stop|remove|.*-relation-(departed|broken))$/;

/** Hooks that bring this version's programs to the machine before anything else. */
const installing = new Set(['install', 'upgrade-charm']);

/** Does what one hook is for, then brings the unit in line with everything. */
export async function handleHook(
  environment: JujuEnvironment,
  name: string,
  tools: HookTools,
  machine: UnitMachine,
): Promise<void> {
  if (!leaving.test(name)) {
    if (installing.has(name) || !(await machine.isInstalled())) {
      for (const note of await machine.install(await readRoles(tools))) await tools.log('INFO', note);
    }
    await reconcile(environment, tools, machine);
    return;
  }
  for (const step of stepsOfLeaving(environment, name, tools, machine)) {
    try {
      for (const note of (await step()) ?? []) await tools.log('WARNING', note);
    } catch (error) {
      await tools.log('ERROR', `${name}: ${toFailure(error).message}`).catch(() => undefined);
    }
  }
}

type Step = () => Promise<readonly string[] | undefined>;

/** What is done when something goes; each whatever became of the one before, for nothing comes after them. */
function stepsOfLeaving(
  environment: JujuEnvironment,
  name: string,
  tools: HookTools,
  machine: UnitMachine,
): readonly Step[] {
  const stop: Step = async () => await stopJobs(machine);
  switch (name) {
    case 'remove':
      return [stop, async () => await machine.uninstall()];
    case 'stop':
      // First the timers: nothing is started anew. Then what runs: it could turn archiving on behind our back.
      return [async () => await machine.install([]), stop, async () => await machine.leave()];
    case 'postgresql-relation-broken':
      return [stop, async () => await machine.leave(), reconciled];
    default:
      return [reconciled];
  }

  async function reconciled(): Promise<undefined> {
    await reconcile(environment, tools, machine);
  }
}

/** Says which jobs did not end: each was asked, and then ended by force. */
async function stopJobs(machine: UnitMachine): Promise<readonly string[]> {
  const notes: string[] = [];
  for (const job of (await machine.jobs.list()).filter(isPending)) {
    const after = await machine.jobs.stop(job.id);
    if (after !== undefined && isPending(after))
      notes.push(
        `the job ${job.id} was told to end, then killed, and still runs: does its disk or its destination answer?`,
      );
  }
  return notes;
}
