import { afterAll, beforeAll, expect, test } from 'vitest';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import type { ArchivedCluster } from '../setup/archived-cluster.ts';
import { changeRules, legacyRules } from '../setup/hba.ts';
import { becomeOwner } from '../setup/machine.ts';
import { makeNoisyCluster, runInLittleMemory } from '../setup/noise.ts';

let archived: ArchivedCluster;

beforeAll(async () => {
  becomeOwner();
  archived = await makeNoisyCluster(1_000_000);
}, 600_000);

afterAll(async () => {
  await archived.machine.destroy();
});

async function expectLittleMemory(): Promise<void> {
  const { machine, repository, place } = archived;
  await runInLittleMemory(machine, ['backup']);

  const [incarnation] = (await readCatalogue(repository, place.systemIdentifier)).incarnations;
  const backup = incarnation?.backups.at(-1);
  expect(backup?.storedBytes).toBeGreaterThan(1_000_000_000);
  expect(backup?.archives[0]?.parts.length).toBeGreaterThan(3);
}

test('a gigabyte that does not compress is backed up in less than 200 MB of memory', async () => {
  await expectLittleMemory();
}, 600_000);

test('so it is where pg_hba.conf refuses replication and the files are read here', async () => {
  await changeRules(archived.server, archived.cluster, legacyRules);
  await expectLittleMemory();
}, 600_000);
