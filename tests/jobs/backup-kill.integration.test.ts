import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { changeRules, legacyRules } from '../setup/hba.ts';
import { chooseSeed, killBackups } from '../setup/kill-backups.ts';
import { becomeOwner } from '../setup/machine.ts';

let archived: ArchivedCluster;
const seed = chooseSeed();

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster();
  await archived.server.sql(
    'CREATE TABLE t (n int, what text); INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 50000) n',
  );
});

afterAll(async () => {
  await archived.machine.destroy();
});

test(`a backup that is killed at any instant lies about nothing (SEED=${seed})`, async () => {
  await killBackups(archived, 5, seed);

  expect(await archived.server.sql('SELECT count(*) FROM t')).toBe('50005');
});

test(`so does one that reads the files itself, where pg_hba.conf refuses replication (SEED=${seed})`, async () => {
  await changeRules(archived.server, archived.cluster, legacyRules);
  await killBackups(archived, 5, seed);

  expect(await archived.server.sql('SELECT count(*) FROM t')).toBe('50010');
});
