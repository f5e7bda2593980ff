import { describe, expect, test } from 'vitest';
import { parseEnvironment } from '../../src/juju/environment.ts';
import { containing } from '../setup/containing.ts';

const base = {
  JUJU_UNIT_NAME: 'landscape-backup/3',
  JUJU_MODEL_UUID: '4d8b2d5e-0000-4000-8000-000000000001',
  JUJU_MODEL_NAME: 'production',
  JUJU_MACHINE_ID: '2',
  JUJU_PRINCIPAL_UNIT: 'postgresql/0',
  JUJU_CHARM_DIR: '/var/lib/juju/agents/unit-landscape-backup-3/charm',
  JUJU_VERSION: '3.6.27',
  JUJU_CHARM_HTTP_PROXY: 'http://proxy:3128',
  JUJU_CHARM_HTTPS_PROXY: '',
  JUJU_CHARM_FTP_PROXY: '',
  JUJU_CHARM_NO_PROXY: '10.0.0.0/8',
  JUJU_HOOK_NAME: 'config-changed',
  JUJU_DISPATCH_PATH: 'hooks/config-changed',
};

test('a hook says where and why the charm was started', () => {
  expect(parseEnvironment(base)).toEqual({
    unit: 'landscape-backup/3',
    application: 'landscape-backup',
    model: { uuid: '4d8b2d5e-0000-4000-8000-000000000001', name: 'production' },
    machineId: '2',
    principal: 'postgresql/0',
    charmDirectory: '/var/lib/juju/agents/unit-landscape-backup-3/charm',
    version: '3.6.27',
    proxies: { http: 'http://proxy:3128', https: undefined, ftp: undefined, no: '10.0.0.0/8' },
    event: { kind: 'hook', name: 'config-changed' },
  });
});

describe('the event', () => {
  const relation = { JUJU_RELATION: 'peers', JUJU_RELATION_ID: 'peers:0', JUJU_REMOTE_APP: 'landscape-backup' };

  test.each([
    [
      'is a unit of a relation',
      { ...relation, JUJU_DISPATCH_PATH: 'hooks/peers-relation-changed', JUJU_REMOTE_UNIT: 'landscape-backup/1' },
      { name: 'peers-relation-changed', remoteUnit: 'landscape-backup/1', departing: undefined },
    ],
    [
      'is the data of an application, where Juju sets an empty unit',
      { ...relation, JUJU_DISPATCH_PATH: 'hooks/peers-relation-changed', JUJU_REMOTE_UNIT: '' },
      { name: 'peers-relation-changed', remoteUnit: undefined, departing: undefined },
    ],
    [
      'is a unit that leaves',
      {
        ...relation,
        JUJU_DISPATCH_PATH: 'hooks/peers-relation-departed',
        JUJU_REMOTE_UNIT: 'landscape-backup/1',
        JUJU_DEPARTING_UNIT: 'landscape-backup/3',
      },
      { name: 'peers-relation-departed', remoteUnit: 'landscape-backup/1', departing: 'landscape-backup/3' },
    ],
  ])('%s', (_what, variables, { name, remoteUnit, departing }) => {
    expect(parseEnvironment({ ...base, ...variables }).event).toEqual({
      kind: 'hook',
      name,
      relation: {
        endpoint: 'peers',
        id: 'peers:0',
        remoteApplication: 'landscape-backup',
        remoteUnit,
        departing,
      },
    });
  });

  test('is an action, where the name of the hook is empty', () => {
    const variables = { JUJU_HOOK_NAME: '', JUJU_DISPATCH_PATH: 'actions/list-backups', JUJU_ACTION_UUID: '12' };

    expect(parseEnvironment({ ...base, ...variables }).event).toEqual({
      kind: 'action',
      name: 'list-backups',
      id: '12',
    });
  });

  test('has a name of our own under juju-exec', () => {
    const variables = { JUJU_HOOK_NAME: '', JUJU_DISPATCH_PATH: 'hooks/job-ended' };

    expect(parseEnvironment({ ...base, ...variables }).event).toEqual({ kind: 'hook', name: 'job-ended' });
  });
});

test('a principal has no principal', () => {
  expect(parseEnvironment({ ...base, JUJU_PRINCIPAL_UNIT: '' }).principal).toBeUndefined();
});

test.each([
  ['nothing of Juju', { PATH: '/usr/bin' }, 'JUJU_UNIT_NAME'],
  ['no path', { ...base, JUJU_DISPATCH_PATH: '' }, 'JUJU_DISPATCH_PATH is'],
  ['a path to elsewhere', { ...base, JUJU_DISPATCH_PATH: 'hooks/../x' }, 'JUJU_DISPATCH_PATH is'],
  ['an action without a number', { ...base, JUJU_DISPATCH_PATH: 'actions/backup' }, 'JUJU_ACTION_UUID is'],
])('%s is refused with the name of the variable', (_what, variables, name) => {
  expect(() => parseEnvironment(variables)).toThrow(
    expect.objectContaining({ kind: 'usage', message: containing(name) }),
  );
});
