import { afterAll, beforeAll, expect, test } from 'vitest';
import { findCluster, listClusters } from '../../src/postgres/cluster.ts';
import { becomeOwner, makeMachine, type Machine } from '../setup/machine.ts';

let machine: Machine;

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  await machine.createCluster('with-hyphen');
});

afterAll(async () => {
  await machine.destroy();
});

test('the only cluster is meant when nothing is said, and it may be named as pg_lsclusters shows it or as its unit', async () => {
  for (const named of [undefined, '15/with-hyphen', '15-with-hyphen']) {
    expect(await findCluster(named, [])).toMatchObject({
      label: '15/with-hyphen',
      unit: '15-with-hyphen',
      running: false,
    });
  }
});

test('with several the settings say which, and otherwise all are named', async () => {
  await machine.createCluster('other');

  expect(await listClusters()).toHaveLength(2);
  expect((await findCluster(undefined, ['15/other'])).name).toBe('other');
  await expect(findCluster(undefined, [])).rejects.toMatchObject({
    kind: 'usage',
    message: 'this machine has several clusters: 15/other, 15/with-hyphen',
  });
  await expect(findCluster('15/hyphen', [])).rejects.toMatchObject({
    kind: 'usage',
    message: 'there is no cluster 15/hyphen on this machine',
    hint: 'pg_lsclusters shows 15/other, 15/with-hyphen.',
  });
});
