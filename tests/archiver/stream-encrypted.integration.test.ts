import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { encryptionOptions, newAgeKey } from '../setup/age.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner } from '../setup/machine.ts';
import { makeRecovery } from '../setup/recovery.ts';
import {
  allowReplication,
  recovered,
  startArchiver,
  storedEnd,
  streamContext,
  untilStored,
  useMethod,
} from '../setup/streamed-cluster.ts';
import { until } from '../setup/wait.ts';

const key = newAgeKey();
const count = 'select count(*), coalesce(sum(i), 0) from t';
let archived: ArchivedCluster;

beforeAll(() => {
  becomeOwner();
});

afterEach(async () => {
  await archived.machine.destroy();
});

/** Everything below `wal/` of the repository, with its first bytes. */
async function stored(): Promise<readonly (readonly [name: string, first: string])[]> {
  const { destination } = archived.machine;
  const names = (await readdir(destination, { recursive: true })).filter((each) => /\/wal\/.*\.zst/.test(each));
  return await Promise.all(
    names.map(
      async (name) => [name, (await readFile(join(destination, name))).subarray(0, 21).toString('latin1')] as const,
    ),
  );
}

test('a stream stores everything encrypted with the recipient alone, and recovery goes to its last byte with the identity', async () => {
  archived = await makeArchivedCluster({
    archiving: false,
    settings: { wal_keep_size: '64MB' },
    encryption: encryptionOptions([key]),
  });
  await allowReplication(archived);
  await archived.server.sql('create table t (i int)');
  const base = await makeRecovery(archived, 'base');
  // What comes before the slot is stored from what the server still has; that it is stored is seen by its encrypted name.
  for (let i = 0; i < 3; i += 1) await archived.server.sql('insert into t values (1000); select pg_switch_wal()');
  let archiver = await startArchiver(archived);
  await useMethod(archived, 'stream');
  for (let round = 0; round < 3; round += 1) {
    await archived.server.sql('insert into t select generate_series(1, 7)');
    await untilStored(archived);
    if (round === 1) await archived.server.sql('select pg_switch_wal()');
    if (round === 1) {
      await archiver.kill('SIGKILL');
      archiver = await startArchiver(archived);
    }
  }
  await archived.server.kill();
  await archiver.kill('SIGTERM');

  const objects = await stored();
  expect(objects.some(([name]) => name.endsWith('.part.zst.age'))).toBe(true);
  expect(objects.length).toBeGreaterThan(3);
  for (const each of objects) expect(each).toEqual([expect.stringMatching(/\.zst\.age$/), 'age-encryption.org/v1']);
  expect((await storedEnd(archived)) % BigInt(1024 * 1024)).not.toBe(0n);

  await expect(recovered(archived, base, 'without', count)).rejects.toThrow(/no identity is at hand/);
  await streamContext(archived, encryptionOptions([key], [key]));
  expect(await recovered(archived, base, 'with', count)).toBe('24|3084');
  await base.remove();
});

test('the way back to archiving ends where everything is encrypted, too', async () => {
  archived = await makeArchivedCluster({ archiving: false, encryption: encryptionOptions([key]) });
  await allowReplication(archived);
  const archiver = await startArchiver(archived);
  await useMethod(archived, 'stream');
  await archived.server.sql('create table t (i int); select pg_switch_wal()');
  await untilStored(archived);
  const slots = async () => await archived.server.sql('select count(*) from pg_replication_slots');
  expect(await slots()).toBe('1');

  await until('the slot has gone', async () => {
    await archived.server.sql('insert into t values (1); select pg_switch_wal()');
    await useMethod(archived, 'archive');
    return (await slots()) === '0';
  });
  await archiver.kill('SIGTERM');
});
