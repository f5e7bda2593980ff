import type { JujuEnvironment } from '../../../src/juju/environment.ts';
import type { HookTools } from '../../../src/juju/hook-tools.ts';
import type { CharmFiles } from './charm.ts';
import type { Handler } from './in-process.ts';

/** A unit of a principal in one of its hooks. */
interface PrincipalUnit {
  readonly name: string;
  readonly model: string;
  readonly machine: string;
  readonly environment: JujuEnvironment;
  readonly tools: HookTools;
}

type PrincipalHook = (unit: PrincipalUnit) => Promise<void> | void;

/** A double of a charm beside which a subordinate lives: what its hooks do to the machine. One that throws has failed. */
export interface PrincipalCharm {
  readonly name: string;
  /** What `metadata.yaml` says besides: endpoints, which are none unless given. Every charm provides `juju-info`. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly config?: unknown;
  readonly actionsYaml?: unknown;
  onInstall?: PrincipalHook;
  onLeaderElected?: PrincipalHook;
  onConfigChanged?: PrincipalHook;
  onStart?: PrincipalHook;
  onUpdateStatus?: PrincipalHook;
  onUpgrade?: PrincipalHook;
  onStop?: PrincipalHook;
  onRemove?: PrincipalHook;
  /** Every hook of a relation. */
  onRelation?: PrincipalHook;
  /** Actions by name, each gives back its results. */
  readonly actions?: Readonly<Record<string, (unit: PrincipalUnit) => Promise<Readonly<Record<string, string>>>>>;
}

/** The charm's files, as Juju reads them. */
export function principalFiles(charm: PrincipalCharm): CharmFiles {
  const described = { name: charm.name, summary: charm.name, description: charm.name, ...charm.metadata };
  const actions = Object.fromEntries(
    Object.keys(charm.actions ?? {}).map((name) => [name, { additionalProperties: true }]),
  );
  return { metadata: described, config: charm.config, actions: charm.actionsYaml ?? actions };
}

/** The charm as a function. */
export function principalHandler(charm: PrincipalCharm): Handler {
  return async (environment, tools) => {
    const { event, unit, model, machineId } = environment;
    const here: PrincipalUnit = { name: unit, model: model.name, machine: machineId, environment, tools };
    if (event.kind === 'action') {
      const results = await charm.actions?.[event.name]?.(here);
      if (results !== undefined && Object.keys(results).length > 0) await tools.actionSet(results);
      return 0;
    }
    await hookOf(charm, event.name)?.(here);
    return 0;
  };
}

function hookOf(charm: PrincipalCharm, name: string): PrincipalHook | undefined {
  const hooks: Readonly<Record<string, PrincipalHook | undefined>> = {
    install: charm.onInstall,
    'leader-elected': charm.onLeaderElected,
    'config-changed': charm.onConfigChanged,
    start: charm.onStart,
    'update-status': charm.onUpdateStatus,
    'upgrade-charm': charm.onUpgrade,
    stop: charm.onStop,
    remove: charm.onRemove,
  };
  const hook = name.includes('-relation-') ? charm.onRelation : hooks[name];
  return hook?.bind(charm);
}
