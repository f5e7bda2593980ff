import { actions } from '../../actions/actions.ts';
import { runAction } from '../../actions/run-action.ts';
import { Failure } from '../../core/failure.ts';
import { handleHook } from '../../hooks/handle-hook.ts';
import type { UnitMachine } from '../../hooks/unit-machine.ts';
import type { JujuEnvironment } from '../../juju/environment.ts';
import type { HookTools } from '../../juju/hook-tools.ts';

/** Does what Juju started the charm for: one hook or one action. */
export async function dispatch(juju: JujuEnvironment, tools: HookTools, machine: UnitMachine): Promise<void> {
  const { event } = juju;
  if (event.kind === 'hook') {
    await handleHook(juju, event.name, tools, machine);
    return;
  }
  const action = actions.find(({ name }) => name === event.name);
  if (action === undefined) throw new Failure('usage', `this charm has no action ${event.name}`);
  await runAction(action, juju, tools, machine);
}
