import type { Role } from '../../src/core/site.ts';
import type { Snapshot } from '../../src/hooks/snapshot.ts';
import type { HookTools } from '../../src/juju/hook-tools.ts';

const nothing = async (): Promise<never> => {
  throw new Error('not asked for here');
};
/** Hook tools for an action that asks nothing of them but to be told. */
export const tools: HookTools = {
  configGet: async () => ({}),
  relationIds: async () => [],
  relationUnits: async () => [],
  relationApplication: nothing,
  relationGet: async () => ({}),
  secretGet: nothing,
  relationSet: async () => undefined,
  isLeader: async () => false,
  statusSet: async () => undefined,
  applicationVersionSet: async () => undefined,
  actionGet: nothing,
  actionSet: async () => undefined,
  actionFail: async () => undefined,
  actionLog: async () => undefined,
  log: async () => undefined,
};

/** A unit with nothing but what is beside it. */
export function snapshotOf(roles: readonly Role[]): Snapshot {
  return {
    environment: {
      unit: 'landscape-backup/0',
      application: 'landscape-backup',
      model: { uuid: 'u', name: 'm' },
      machineId: '0',
      principal: undefined,
      charmDirectory: '/charm',
      version: '3.6.27',
      proxies: { http: undefined, https: undefined, ftp: undefined, no: undefined },
      event: { kind: 'action', name: 'any', id: '1' },
    },
    config: {},
    offer: undefined,
    secrets: new Map(),
    isLeader: true,
    roles,
    peers: 'peers:0',
    application: {},
    own: {},
    others: new Map(),
    local: { cluster: undefined, landscape: undefined, trouble: undefined, jobs: [] },
  };
}
