import { cp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { archiveCommand } from '../../src/core/archiving-decision.ts';
import { readWalHeader } from '../../src/core/wal-header.ts';
import { walKey } from '../../src/repository/layout.ts';
import { listWal, readWal } from '../../src/repository/wal-store.ts';
import { writeOwnerState } from '../../src/system/home.ts';
import { makeArchivedCluster, type ArchivedCluster, type ArchivedClusterOptions } from '../setup/archived-cluster.ts';
import { asOwner, becomeOwner } from '../setup/machine.ts';
import { makeRecovery, type TestRecovery } from '../setup/recovery.ts';
import { readTree } from '../setup/tree.ts';
import { until } from '../setup/wait.ts';

let archived: ArchivedCluster;

beforeAll(() => {
  becomeOwner();
});

afterEach(async () => {
  await archived.machine.destroy();
});

async function make(options: ArchivedClusterOptions = {}): Promise<void> {
  archived = await makeArchivedCluster(options);
  await archived.server.sql('create table t as select generate_series(1, 1000) i');
}

async function storedNames(): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const name of listWal(archived.repository, archived.place)) names.push(name);
  return names.sort();
}

async function plain(name: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of readWal(archived.repository, walKey(archived.place, name))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Ends the segment and waits until it and all before it are archived; gives back its name. */
async function switchAndArchive(): Promise<string> {
  const { server } = archived;
  const said = await server.sql('insert into t values (1); select pg_walfile_name(pg_switch_wal())');
  const name = said.split('\n').at(-1) ?? '';
  await until(`${name} is stored`, async () => (await storedNames()).includes(name));
  return name;
}

const status = () => join(archived.cluster.dataDirectory, 'pg_wal', 'archive_status');

test.for([16, 64])('segments of %i MiB are archived as they are', async (segmentMiB) => {
  await make({ segmentMiB });

  const name = await switchAndArchive();

  const local = await readFile(join(archived.cluster.dataDirectory, 'pg_wal', name));
  expect(local.byteLength).toBe(segmentMiB * 1024 * 1024);
  expect((await plain(name)).equals(local)).toBe(true);
});

test('a promotion archives its history, the partial segment and the first one with the pages of its parent', async () => {
  await make();
  await switchAndArchive();
  await archived.server.sql('insert into t select generate_series(1, 1000)');
  await archived.server.stop();
  await writeFile(join(archived.cluster.dataDirectory, 'standby.signal'), '');
  await archived.server.start();
  await archived.server.sql('select pg_promote()');

  const first = await switchAndArchive();

  expect(first).toMatch(/^00000002/);
  const names = await storedNames();
  expect(names).toContain('00000002.history');
  expect(names).toContain(`00000001${first.slice(8)}.partial`);
  const header = readWalHeader(await plain(first));
  expect(header).toMatchObject({ timeline: 1 });
  for (const name of [first, '00000002.history']) {
    const local = await readFile(join(archived.cluster.dataDirectory, 'pg_wal', name));
    expect((await plain(name)).equals(local)).toBe(true);
  }
  expect(await archived.server.sql('select failed_count from pg_stat_archiver')).toBe('0');
});

test('what is archived again after a crash is a success and changes nothing', async () => {
  await make();
  const name = await switchAndArchive();
  await until('PostgreSQL knows it', async () => (await readdir(status())).includes(`${name}.done`));
  await archived.server.kill();
  await rename(join(status(), `${name}.done`), join(status(), `${name}.ready`));
  const object = walKey(archived.place, name);
  const before = (await readTree(archived.machine.destination))[object];

  await archived.server.start();
  await until('it is archived again', async () => (await readdir(status())).includes(`${name}.done`));

  expect((await readTree(archived.machine.destination))[object]).toBe(before);
  expect(await archived.server.sql('select failed_count from pg_stat_archiver')).toBe('0');
});

/** A copy of the original's data directory with an `archive_command`, that writes and tries to archive. */
async function copyCanNotWrite(archiveWal: string, says: RegExp): Promise<void> {
  const copy = await makeCopy();
  try {
    const { destination } = archived.machine;
    const before = await readTree(destination);
    expect(await copy.start({ archive_mode: 'on', archive_command: archiveWal })).toBe(true);
    await copy.sql('insert into t select generate_series(1, 50000)');
    await copy.sql('select pg_switch_wal()');

    await until('the copy has tried', async () => says.test(await copy.log()));

    expect(await readTree(destination)).toEqual(before);
  } finally {
    await copy.remove();
  }
}

async function makeCopy(): Promise<TestRecovery> {
  const blank = await makeRecovery(archived, 'blank');
  await archived.server.stop();
  const copy = await blank.copy('copy');
  // The base backup serves for its configuration only: the copy is the stopped cluster, byte for byte.
  for (const name of await readdir(copy.dataDirectory)) {
    if (!name.endsWith('.conf') || name === 'postgresql.auto.conf')
      await rm(join(copy.dataDirectory, name), { recursive: true });
  }
  await asOwner('cp', ['-a', `${archived.cluster.dataDirectory}/.`, copy.dataDirectory]);
  return copy;
}

test("a copy with the original's settings can not add a byte", async () => {
  await make();
  await switchAndArchive();
  const { machine, unit } = archived;

  await copyCanNotWrite(
    archiveCommand(machine.runtime, unit.path),
    /was not started with \S+, its archive_command speaks for 15-main/,
  );
});

test("a copy with its own unit's folder and no owner state can not add a byte", async () => {
  await make();
  await switchAndArchive();
  const { machine, unit } = archived;
  const folder = join(machine.home, '15-copy');
  await cp(unit.path, folder, { recursive: true });
  await rm(join(folder, 'owner.json'));

  await copyCanNotWrite(archiveCommand(machine.runtime, folder), /15-copy owns no incarnation, so it may not archive/);
});

test("a copy where the original's unit folder is not there can not add a byte", async () => {
  await make();
  await switchAndArchive();
  const { machine } = archived;

  await copyCanNotWrite(archiveCommand(machine.runtime, '/nowhere/15-main'), /15-main owns no incarnation/);
});

test('a copy that calls itself the owner by another id can not add a byte', async () => {
  await make();
  await switchAndArchive();
  const { machine, unit, place } = archived;
  const folder = join(machine.home, '15-copy');
  await cp(unit.path, folder, { recursive: true });
  await writeOwnerState({ ...unit, owner: join(folder, 'owner.json') }, { ...place, ownerId: 'somebody' });

  await copyCanNotWrite(archiveCommand(machine.runtime, folder), /belongs to 15-main of test-host, not to this unit/);
});
