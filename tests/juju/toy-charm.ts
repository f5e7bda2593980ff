import type { JujuEnvironment } from '../../src/juju/environment.ts';
import type { HookTools } from '../../src/juju/hook-tools.ts';
import type { CharmFiles } from './simulator/charm.ts';
import type { PrincipalCharm } from './simulator/principal.ts';
import type { CharmSource, Model } from './simulator/model.ts';
import { Simulator, type SimulatorOptions } from './simulator/simulator.ts';

/** A subordinate with two roles and peers, as small as it can be. */
export const toyFiles: CharmFiles = {
  metadata: {
    name: 'toy',
    summary: 'A toy',
    description: 'A toy',
    subordinate: true,
    requires: {
      landscape: { interface: 'juju-info', scope: 'container' },
      postgresql: { interface: 'juju-info', scope: 'container' },
    },
    peers: { peers: { interface: 'toy-peers' } },
  },
  config: {
    options: {
      text: { type: 'string', default: 'a <b> & c' },
      count: { type: 'int', default: 7 },
      flag: { type: 'boolean', default: false },
      unset: { type: 'string' },
    },
  },
  actions: {
    act: { params: { label: { type: 'string', default: 'none' } }, additionalProperties: false },
    open: { params: { label: { type: 'string' } } },
    grouped: { 'execution-group': 'toy', additionalProperties: false },
    parallel: { parallel: true, additionalProperties: false },
  },
};

/** What a toy does in an event; it ends with 0 unless it gives back something else. */
export type Toy = (environment: JujuEnvironment, tools: HookTools) => Promise<number | void>;

/** The toy as a charm in this process. */
export function toy(does: Toy = async () => undefined, files: CharmFiles = toyFiles): CharmSource {
  return { files, handler: async (environment, tools) => (await does(environment, tools)) ?? 0 };
}

/** A principal that does nothing. */
export function idle(name: string): PrincipalCharm {
  return { name };
}

/** A toy beside units of one PostgreSQL, each on its own machine: toy/0 and so on, not settled yet. */
export async function world(
  does?: Toy,
  options: SimulatorOptions & { readonly units?: number } = {},
): Promise<{ readonly sim: Simulator; readonly model: Model }> {
  const sim = new Simulator(options);
  const model = sim.addModel('production');
  model.deployPrincipal('postgresql', { charm: idle('postgresql'), units: options.units ?? 1 });
  await model.deploySubordinate('toy', toy(does));
  model.integrate('toy:postgresql', 'postgresql');
  return { sim, model };
}

/** Does something only in one hook or action. */
export function on(name: string, does: Toy): Toy {
  return async (environment, tools) => (environment.event.name === name ? await does(environment, tools) : undefined);
}
