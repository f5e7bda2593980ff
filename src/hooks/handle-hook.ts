import { toFailure } from '../core/failure.ts';
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
  try {
    await leave(environment, name, tools, machine);
  } catch (error) {
    await tools.log('ERROR', `${name}: ${toFailure(error).message}`).catch(() => undefined);
  }
}

async function leave(
  environment: JujuEnvironment,
  name: string,
  tools: HookTools,
  machine: UnitMachine,
): Promise<void> {
  const say = async (notes: readonly string[]) => {
    for (const note of notes) await tools.log('WARNING', note);
  };
  if (name === 'remove') return await say(await machine.uninstall());
  if (name === 'stop') {
    await machine.install([]);
    return await say(await machine.leave());
  }
  if (name === 'postgresql-relation-broken') await say(await machine.leave());
  await reconcile(environment, tools, machine);
}
