import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { settingsFile } from '../../src/system/home.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { changeRules, legacyRules } from '../setup/hba.ts';
import { becomeOwner } from '../setup/machine.ts';
import { runForPeak } from '../setup/peak-memory.ts';

let archived: ArchivedCluster;

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster({ archiving: false, segmentMiB: 16, settings: { max_wal_size: '2GB' } });
  await appendFile(settingsFile(archived.machine.home), 'wal-archiving: false\n');
  await archived.server.sql('CREATE EXTENSION pgcrypto');
  await archived.server.sql(
    'CREATE TABLE noise AS SELECT gen_random_bytes(1000) AS b FROM generate_series(1, 1000000)',
  );
}, 600_000);

afterAll(async () => {
  await archived.machine.destroy();
});

async function expectLittleMemory(): Promise<void> {
  const { machine, repository, place } = archived;
  const program = join(machine.runtime, 'bin', 'landscape-backup');
  const { exitCode, stderr, mostBytes } = await runForPeak(program, ['backup', '--home', machine.home], machine.env);

  expect(exitCode, stderr).toBe(0);
  const [incarnation] = (await readCatalogue(repository, place.systemIdentifier)).incarnations;
  const backup = incarnation?.backups.at(-1);
  expect(backup?.storedBytes).toBeGreaterThan(1_000_000_000);
  expect(backup?.archives[0]?.parts.length).toBeGreaterThan(3);
  expect(mostBytes).toBeGreaterThan(20_000_000);
  expect(mostBytes).toBeLessThan(200_000_000);
}

test('a gigabyte that does not compress is backed up in less than 200 MB of memory', async () => {
  await expectLittleMemory();
}, 600_000);

test('so it is where pg_hba.conf refuses replication and the files are read here', async () => {
  await changeRules(archived.server, archived.cluster, legacyRules);
  await expectLittleMemory();
}, 600_000);
