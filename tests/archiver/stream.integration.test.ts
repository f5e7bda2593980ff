import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { findHoles } from '../../src/jobs/find-holes.ts';
import { addArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner, makeMachine, type Machine } from '../setup/machine.ts';
import { makeRecovery } from '../setup/recovery.ts';
import {
  allowReplication,
  receivers,
  recovered,
  startArchiver,
  storedEnd,
  streamContext,
  untilStored,
  useMethod,
  type TestArchiver,
} from '../setup/streamed-cluster.ts';
import { until } from '../setup/wait.ts';

let machine: Machine;
let archivers: TestArchiver[] = [];

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
});

afterEach(async () => {
  for (const archiver of archivers) await archiver.kill('SIGTERM');
  archivers = [];
});

afterAll(async () => {
  await machine.destroy();
});

function start(archived: ArchivedCluster): TestArchiver {
  const archiver = startArchiver(archived);
  archivers.push(archiver);
  return archiver;
}

async function makeStreamed(name: string, settings: Readonly<Record<string, string>> = {}) {
  const archived = await addArchivedCluster(machine, { name, archiving: false, settings });
  await allowReplication(archived);
  await archived.server.sql('create table t (i int)');
  return archived;
}

const count = 'select count(*), coalesce(sum(i), 0) from t';

test('what is committed is stored within seconds, though its segment is not finished', async () => {
  const archived = await makeStreamed('seconds');
  await useMethod(archived, 'stream');
  start(archived);
  const base = await makeRecovery(archived, 'seconds-base');
  for (let i = 0; i < 3; i += 1) {
    await archived.server.sql('insert into t select generate_series(1, 7)');
    await untilStored(archived);
  }
  await archived.server.kill();

  expect(await recovered(archived, base, 'seconds-1', count)).toBe('21|84');
  expect((await storedEnd(archived)) % BigInt(1024 * 1024)).not.toBe(0n);
  await base.remove();
});
