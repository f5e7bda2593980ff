import { Failure } from '../../../src/core/failure.ts';
import type { JujuEnvironment, JujuEvent } from '../../../src/juju/environment.ts';
import type { HookTools } from '../../../src/juju/hook-tools.ts';
import { relationId, ToolError, type HookContext } from './context.ts';
import type { Random } from './random.ts';
import { Refused } from './refused.ts';
import { readSecret } from './secrets.ts';
import type { Ending, Runner } from './runner.ts';
import type { HookOperation, Task, UnitState } from './state.ts';

/** A charm as a function: what `main` is without a process around it. Gives back the exit code. */
export type Handler = (environment: JujuEnvironment, tools: HookTools) => Promise<number>;

/** Where a run of the charm is cut off: before its n-th call of a tool, or around what Juju writes at its end. */
export type CrashPoint = number | 'before-commit' | 'after-commit' | undefined;

/** What a story decides about runs of the charm. */
export interface Chance {
  readonly random: Random;
  crash: (unit: UnitState, operation: HookOperation | Task) => CrashPoint;
  /** Whether tools' calls of units that run at the same time are mixed. */
  mixed: boolean;
}

class Interrupted extends Error {}

/** Runs a charm in this process. */
export function makeInProcessRunner(handler: Handler, chance: Chance): Runner {
  return {
    deploy: async () => undefined,
    remove: async () => undefined,
    run: async (context, operation): Promise<Ending> => {
      const at = chance.crash(context.unit, operation);
      let why: 'abort' | 'agent' | undefined;
      let calls = 0;
      context.interrupt = (reason) => (why = reason);
      const gate = (): void => {
        calls += 1;
        if (at === calls) why = 'agent';
        if (why !== undefined) throw new Interrupted();
      };
      const exitCode = await runHandler(handler, context, operation, makeTools(context, gate, chance));
      if (why === 'agent' || at === 'before-commit') return { how: 'crash' };
      if (why === 'abort') return { how: 'abort', stdout: '', stderr: '' };
      if (at === 'after-commit' && exitCode === 0) return { how: 'crash-after-commit' };
      return { how: 'exit', exitCode, stdout: '', stderr: '' };
    },
  };
}

async function runHandler(
  handler: Handler,
  context: HookContext,
  operation: HookOperation | Task,
  tools: HookTools,
): Promise<number> {
  try {
    return await handler(environmentOf(context, operation), tools);
  } catch (error) {
    if (!(error instanceof Interrupted)) {
      context.unit.log.push({
        level: 'WARNING',
        text: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
    return 1;
  }
}

function makeTools(context: HookContext, gate: () => void, chance: Chance): HookTools {
  const call = async <T>(tool: string, work: () => T): Promise<T> => {
    if (chance.mixed) for (let turns = chance.random.below(4); turns > 0; turns -= 1) await Promise.resolve();
    gate();
    try {
      return work();
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      throw new Failure('machine', `${tool} ended with exit code ${error.exitCode}: ERROR ${error.message}`);
    }
  };
  return {
    configGet: async () => await call('config-get', () => context.configGet()),
    relationIds: async (endpoint) => await call('relation-ids', () => context.relationIds(endpoint)),
    relationUnits: async (id) => await call('relation-list', () => context.relationList(id)),
    relationApplication: async (id) => await call('relation-list', () => context.relationApplication(id)),
    relationGet: async (id, bag, member) => await call('relation-get', () => context.relationGet(id, bag, member)),
    relationSet: async (id, bag, data) => {
      await call('relation-set', () => {
        context.relationSet(id, bag, data);
      });
    },
    secretGet: async (uri) => await call('secret-get', () => secretGet(context, uri)),
    isLeader: async () => await call('is-leader', () => context.isLeader()),
    statusSet: async (status, message) => {
      await call('status-set', () => {
        context.statusSet(status, message);
      });
    },
    applicationVersionSet: async (version) => {
      await call('application-version-set', () => {
        context.applicationVersionSet(version);
      });
    },
    actionGet: async () => await call('action-get', () => context.actionGet()),
    actionSet: async (results) => {
      await call('action-set', () => {
        context.actionSet(results);
      });
    },
    actionFail: async (message) => {
      await call('action-fail', () => {
        context.actionFail(message);
      });
    },
    actionLog: async (message) => {
      await call('action-log', () => {
        context.actionLog(message);
      });
    },
    log: async (level, message) => {
      await call('juju-log', () => {
        context.log(level, message);
      });
    },
  };
}

/** `secret-get --refresh` */
function secretGet(context: HookContext, uri: string): Readonly<Record<string, string>> {
  if (!context.isOpen) throw new Refused(`a hook tool was used after its hook had ended (${context.id})`);
  if (!context.model.behaviour.secrets) throw new ToolError(1, 'bad request: unknown command "secret-get"');
  return readSecret(context.unit, uri, 'refresh');
}

function environmentOf(context: HookContext, operation: HookOperation | Task): JujuEnvironment {
  const { unit, model } = context;
  const proxy = (name: string) => (model.proxies[name] === '' ? undefined : model.proxies[name]);
  return {
    unit: unit.name,
    application: unit.application.name,
    model: { uuid: model.uuid, name: model.name },
    machineId: unit.machine.id,
    principal: unit.principal?.name,
    charmDirectory: `/var/lib/juju/agents/${unit.tag}/charm`,
    version: model.behaviour.version,
    proxies: { http: proxy('http'), https: proxy('https'), ftp: proxy('ftp'), no: proxy('no') },
    event: eventOf(operation),
  };
}

function eventOf(operation: HookOperation | Task): JujuEvent {
  const { name } = operation;
  if (operation.kind === 'action') return { kind: 'action', name, id: operation.id };
  const { view, remoteUnit, departing } = operation;
  if (view === undefined) return { kind: 'hook', name };
  return {
    kind: 'hook',
    name,
    relation: {
      endpoint: view.side.endpoint.name,
      id: relationId(view),
      remoteUnit: remoteUnit?.name,
      remoteApplication: view.remote.application.name,
      departing,
    },
  };
}
