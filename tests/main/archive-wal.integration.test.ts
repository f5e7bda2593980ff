import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { archiveCommand } from '../../src/core/archiving-decision.ts';
import { walKey } from '../../src/repository/layout.ts';
import { readWal } from '../../src/repository/wal-store.ts';
import { unitFolder } from '../../src/system/home.ts';
import { addArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner, makeMachine, type Machine } from '../setup/machine.ts';
import { bundleFaults, makeOwnRuntime, type BundleFault, type OwnRuntime } from '../setup/own-runtime.ts';
import { readTree } from '../setup/tree.ts';
import { until } from '../setup/wait.ts';

let machine: Machine;
let runtime: OwnRuntime;
let archived: ArchivedCluster;

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  runtime = await makeOwnRuntime(machine);
  const command = archiveCommand(runtime.path, unitFolder(machine.home, '15-main').path).replaceAll("'", "''");
  archived = await addArchivedCluster(machine, { settings: { archive_mode: 'on', archive_command: command } });
  await archived.server.sql('create table t (i int)');
  await everythingArchived();
});

afterAll(async () => {
  await machine.destroy();
});

interface Archiver {
  readonly failed: number;
  readonly last: string;
}

async function archiver(): Promise<Archiver> {
  const row = await archived.server.sql("select failed_count, coalesce(last_archived_wal, '') from pg_stat_archiver");
  const [failed = '', last = ''] = row.split('|');
  return { failed: Number(failed), last };
}

/** Ends the current segment with something in it, and gives back its name. */
async function endSegment(): Promise<string> {
  return (
    (await archived.server.sql('insert into t values (1); select pg_walfile_name(pg_switch_wal())'))
      .split('\n')
      .at(-1) ?? ''
  );
}

async function everythingArchived(): Promise<void> {
  const name = await endSegment();
  await until(`${name} is archived`, async () => {
    await archived.server.sql('select pg_reload_conf()'); // It wakes the archiver from its pause of a minute.
    return (await archiver()).last >= name;
  });
  const plain: Buffer[] = [];
  for await (const chunk of readWal(archived.repository, walKey(archived.place, name))) plain.push(Buffer.from(chunk));
  const local = await readFile(join(archived.cluster.dataDirectory, 'pg_wal', name)).catch(() => undefined);
  if (local !== undefined) expect(Buffer.concat(plain).equals(local)).toBe(true);
}

/** Lets PostgreSQL try while something is broken: it counts a failure, and the destination keeps its bytes. */
async function serverCountsFailure(destination = machine.destination): Promise<string> {
  const log = join(machine.root, 'log', 'main.log');
  const before = { tree: await readTree(destination), log: (await readFile(log, 'utf8')).length };
  const { failed } = await archiver();
  const name = await endSegment();
  await until('PostgreSQL counts a failure', async () => (await archiver()).failed > failed);
  expect((await archiver()).last < name).toBe(true);
  expect(await readTree(destination)).toEqual(before.tree);
  const said = (await readFile(log, 'utf8')).slice(before.log);
  expect(said).toContain('archive command failed with exit code 1');
  return said;
}

const faults = (Object.keys(bundleFaults) as BundleFault[]).filter((fault) => fault !== 'the front is killed');

test.for(faults)('PostgreSQL counts a failure when %s, and archives when it is mended', async (fault) => {
  await runtime.broken('archive-wal', fault, async () => await serverCountsFailure());

  await everythingArchived();
});

test('PostgreSQL counts a failure when the front finds no Node', async () => {
  const node = join(runtime.path, 'bin', 'node');
  await rename(node, `${node}.away`);
  await serverCountsFailure();
  await rename(`${node}.away`, node);

  await everythingArchived();
});

test('a front that is killed loses nothing: PostgreSQL starts its archiver again', async () => {
  const log = join(machine.root, 'log', 'main.log');
  const seen = (await readFile(log, 'utf8')).length;
  const { failed } = await archiver();
  const name = await runtime.broken('archive-wal', 'the front is killed', async () => {
    const ended = await endSegment();
    await until('the archiver has died', async () =>
      /archiv.*(terminated by signal 9|exit code 137)/.test((await readFile(log, 'utf8')).slice(seen)),
    );
    return ended;
  });
  expect(await archiver()).toMatchObject({ failed }); // PostgreSQL does not count it: why failures must be 1 to 125.

  await everythingArchived();
  expect((await archiver()).last >= name).toBe(true);
});

test('a destination that is not mounted is said in the log, and nothing is written in its place', async () => {
  await rename(machine.destination, `${machine.destination}.away`);
  await mkdir(machine.destination);

  const said = await serverCountsFailure();

  expect(said).toMatch(
    /landscape-backup archive-wal: there is no repository at file:\S+\. Is the right directory mounted there\?/,
  );
  expect(await readdir(machine.destination)).toEqual([]);
  await rm(machine.destination, { recursive: true });
  await rename(`${machine.destination}.away`, machine.destination);
  await everythingArchived();
});

test('a failure is one line in the log, however often PostgreSQL tries', async () => {
  await rename(machine.destination, `${machine.destination}.away`);
  await mkdir(machine.destination);
  const log = join(machine.root, 'log', 'main.log');
  const seen = (await readFile(log, 'utf8')).length;
  const said = async () => (await readFile(log, 'utf8')).slice(seen);

  await endSegment();
  await until('it has tried three times', async () => (await said()).split('archive command failed').length > 3);

  expect((await said()).split('\n').filter((line) => line.startsWith('landscape-backup'))).toHaveLength(1);
  await rm(machine.destination, { recursive: true });
  await rename(`${machine.destination}.away`, machine.destination);
  await everythingArchived();
});
