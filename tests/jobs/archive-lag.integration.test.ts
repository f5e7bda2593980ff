import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readArchiveLag, sampleArchiving } from '../../src/jobs/archive-lag.ts';
import { withConnection } from '../../src/postgres/query.ts';
import { readServerFacts } from '../../src/postgres/server-facts.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner } from '../setup/machine.ts';
import { until } from '../setup/wait.ts';

let archived: ArchivedCluster;
let aheadMs = 0;
const clock = { now: () => new Date(Date.now() + aheadMs) };

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster();
  await archived.server.sql('create table t (i int)');
});

afterAll(async () => {
  await archived.machine.destroy();
});

async function lag() {
  const { cluster, unit } = archived;
  return await withConnection(
    cluster,
    async (connection) => await readArchiveLag({ cluster, unit, clock }, connection, await readServerFacts(connection)),
  );
}

async function endSegment(): Promise<string> {
  const said = await archived.server.sql('insert into t values (1); select pg_walfile_name(pg_switch_wal())');
  return said.split('\n').at(-1) ?? '';
}

test('what was archived last and how fast is told, and what waits when nothing is taken', async () => {
  const { cluster, unit, server } = archived;
  await sampleArchiving({ cluster, unit, clock });
  aheadMs += 60_000;
  let name = '';
  for (let count = 0; count < 6; count += 1) name = await endSegment();
  await until('all is archived', async () => (await lag()).last?.name === name);

  const kept = await lag();
  expect(kept).toMatchObject({ files: 0, bytes: 0, oldest: null });
  expect(kept.freeBytes).toBeGreaterThan(0);
  expect(Math.abs((kept.last?.at.getTime() ?? 0) - Date.now())).toBeLessThan(60_000);
  expect(kept.rate?.archived).toBeGreaterThan(1);
  expect(kept.rate?.written).toBeGreaterThan(1);

  await server.sql("alter system set archive_command = '/bin/false'");
  await server.sql('select pg_reload_conf()');
  const first = await endSegment();
  const names = [first, await endSegment(), await endSegment()];
  const waiting = await lag();
  expect(waiting).toMatchObject({ files: 3, bytes: 3 * 1024 * 1024, oldest: { name: first } });
  expect(waiting.last?.name).toBe(name);

  aheadMs -= 24 * 3_600_000;
  expect(await lag()).toMatchObject({ files: names.length, oldest: { seconds: 0 }, rate: null });
});

test('samples that say nothing are taken anew', async () => {
  const { cluster, unit } = archived;
  await writeFile(join(unit.path, 'archive-samples.json'), 'torn');
  expect((await lag()).rate).toBeNull();
  await sampleArchiving({ cluster, unit, clock });
  aheadMs += 60_000;
  expect((await lag()).rate).not.toBeNull();
});
