import { relationId, type HookContext } from './context.ts';
import type { HookOperation, Task } from './state.ts';

/** Where things of a unit lie, as seen on its machine. */
export interface UnitPlaces {
  readonly charm: string;
  readonly tools: string;
  readonly socket: string;
}

/** The whole environment of a run of the charm, or of a command where there is no operation. */
export function hookVariables(
  context: HookContext,
  places: UnitPlaces,
  agentPath: string,
  operation: HookOperation | Task | undefined,
): Record<string, string> {
  const { unit, model } = context;
  const { behaviour, proxies } = model;
  return {
    APT_LISTCHANGES_FRONTEND: 'none',
    CHARM_DIR: places.charm,
    CLOUD_API_VERSION: '',
    DEBIAN_FRONTEND: 'noninteractive',
    JUJU_AGENT_SOCKET_ADDRESS: places.socket,
    JUJU_AGENT_SOCKET_NETWORK: 'unix',
    JUJU_API_ADDRESSES: '10.0.0.1:17070',
    JUJU_AVAILABILITY_ZONE: '',
    JUJU_CHARM_DIR: places.charm,
    JUJU_CHARM_FTP_PROXY: proxies['ftp'] ?? '',
    JUJU_CHARM_HTTPS_PROXY: proxies['https'] ?? '',
    JUJU_CHARM_HTTP_PROXY: proxies['http'] ?? '',
    JUJU_CHARM_NO_PROXY: proxies['no'] ?? '',
    JUJU_CONTEXT_ID: context.id,
    JUJU_HOOK_NAME: context.operation.kind === 'hook' ? context.operation.name : '',
    JUJU_MACHINE_ID: unit.machine.id,
    JUJU_MODEL_NAME: model.name,
    JUJU_MODEL_UUID: model.uuid,
    JUJU_PRINCIPAL_UNIT: unit.principal?.name ?? '',
    JUJU_UNIT_NAME: unit.name,
    JUJU_VERSION: behaviour.version,
    LANG: 'C.UTF-8',
    PATH: `${places.tools}:${agentPath}`,
    TERM: 'tmux-256color',
    ...(behaviour.sla ? { JUJU_SLA: 'unsupported' } : {}),
    ...(operation === undefined ? {} : operationVariables(operation)),
  };
}

function operationVariables(operation: HookOperation | Task): Record<string, string> {
  const { name } = operation;
  if (operation.kind === 'action') {
    return {
      JUJU_ACTION_NAME: name,
      JUJU_ACTION_TAG: `action-${operation.id}`,
      JUJU_ACTION_UUID: operation.id,
      JUJU_DISPATCH_PATH: `actions/${name}`,
    };
  }
  const { view, remoteUnit, departing, secret } = operation;
  const about = secret === undefined ? {} : { JUJU_SECRET_ID: `secret:${secret.id}`, JUJU_SECRET_LABEL: '' };
  if (view === undefined) return { JUJU_DISPATCH_PATH: `hooks/${name}`, ...about };
  return {
    JUJU_DISPATCH_PATH: `hooks/${name}`,
    JUJU_RELATION: view.side.endpoint.name,
    JUJU_RELATION_ID: relationId(view),
    JUJU_REMOTE_APP: view.remote.application.name,
    JUJU_REMOTE_UNIT: remoteUnit?.name ?? '',
    ...(departing === undefined ? {} : { JUJU_DEPARTING_UNIT: departing }),
  };
}
