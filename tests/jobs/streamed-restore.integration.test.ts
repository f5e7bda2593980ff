import { afterAll, beforeAll, expect, test } from 'vitest';
import { takeBackup } from '../../src/jobs/backup.ts';
import { tidy } from '../../src/jobs/prune-tidy.ts';
import { readHealthFacts } from '../../src/jobs/status.ts';
import { runRestore } from '../../src/jobs/restore/run-restore.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { listWal } from '../../src/repository/wal-store.ts';
import { addArchivedCluster, backupContext, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner, makeMachine, type Machine } from '../setup/machine.ts';
import { plannedRestore, restoreContext } from '../setup/restore-context.ts';
import { startArchiver, streamContext, untilStored, useMethod, type TestArchiver } from '../setup/streamed-cluster.ts';

let machine: Machine;
let archived: ArchivedCluster;
let archiver: TestArchiver;

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  archived = await addArchivedCluster(machine, { archiving: false });
  await archived.server.sql('create table t (i int)');
  archiver = await startArchiver(archived);
  await useMethod(archived, 'stream');
});

afterAll(async () => {
  await archiver.kill('SIGTERM');
  await machine.destroy();
});

async function parts(): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const name of listWal(archived.repository, archived.place)) if (name.endsWith('.part')) names.push(name);
  return names;
}

test('a plan that ends in the beginning of a segment is carried out as it was made, whatever came after it', async () => {
  const { server, repository } = archived;
  const backup = await takeBackup(backupContext(archived, { 'wal-method': 'stream' }), { trigger: 'person' });
  expect(backup.withWal).toBe(false);
  await server.sql('insert into t select generate_series(1, 10)');
  await untilStored(archived);
  const early = await machine.createCluster('early');
  const earlyContext = await restoreContext(machine, early, repository);
  const planned = await plannedRestore(earlyContext);
  const named = await parts();
  expect(named.length).toBeGreaterThan(0);

  await server.sql('insert into t values (1000); select pg_switch_wal()');
  await server.sql('insert into t values (1000)');
  await untilStored(archived);
  const catalogue = await readCatalogue(repository, archived.place.systemIdentifier);
  for (const incarnation of catalogue.incarnations) await tidy(repository, incarnation, new Date());
  expect((await parts()).filter((name) => named.includes(name))).toEqual([]);
  await runRestore(earlyContext, planned.kept, planned.backup);
  expect(await early.sql('select count(*), sum(i) from t')).toBe('10|55');

  await server.kill();
  const late = await machine.createCluster('late');
  const lateContext = await restoreContext(machine, late, repository);
  const last = await plannedRestore(lateContext);
  await runRestore(lateContext, last.kept, last.backup);
  expect(await late.sql('select count(*), sum(i) from t')).toBe('12|2055');
});

test('a status tells how the stream goes', async () => {
  await archived.server.start();
  const context = await streamContext(archived, { 'wal-method': 'stream' });
  await untilStored(archived);
  const { stream } = await readHealthFacts(context);

  expect(stream).toMatchObject({ refusal: undefined, slot: 'good', isReceived: true, isNearBound: false });
});
