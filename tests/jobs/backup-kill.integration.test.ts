import { afterEach, beforeAll, expect, test } from 'vitest';
import { encryptionOptions, newAgeKey } from '../setup/age.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { changeRules, legacyRules } from '../setup/hba.ts';
import { chooseSeed, killBackups } from '../setup/kill-backups.ts';
import { becomeOwner } from '../setup/machine.ts';

let archived: ArchivedCluster;
const seed = chooseSeed();

beforeAll(() => {
  becomeOwner();
});

afterEach(async () => {
  await archived.machine.destroy();
});

async function makeFilled(encryption: Readonly<Record<string, string>> = {}): Promise<void> {
  archived = await makeArchivedCluster({ encryption });
  await archived.server.sql(
    'CREATE TABLE t (n int, what text); INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 50000) n',
  );
}

test(`a backup that is killed at any instant lies about nothing (SEED=${seed})`, { timeout: 480_000 }, async () => {
  await makeFilled();
  await killBackups(archived, 5, seed);

  expect(await archived.server.sql('SELECT count(*) FROM t')).toBe('50005');
});

test(
  `so does one that reads the files itself, where pg_hba.conf refuses replication (SEED=${seed})`,
  { timeout: 480_000 },
  async () => {
    await makeFilled();
    await changeRules(archived.server, archived.cluster, legacyRules);
    await killBackups(archived, 5, seed);

    expect(await archived.server.sql('SELECT count(*) FROM t')).toBe('50005');
  },
);

test(`so does one that is encrypted (SEED=${seed})`, { timeout: 480_000 }, async () => {
  const key = newAgeKey();
  await makeFilled(encryptionOptions([key], [key]));
  await killBackups(archived, 5, seed);

  expect(await archived.server.sql('SELECT count(*) FROM t')).toBe('50005');
});
