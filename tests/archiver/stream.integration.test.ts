import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { newest, readReceived } from '../../src/archiver/stream-folder.ts';
import { isFailure } from '../../src/core/failure.ts';
import { findHoles } from '../../src/jobs/find-holes.ts';
import { leaveCluster } from '../../src/jobs/leave.ts';
import { readHealthFacts } from '../../src/jobs/status.ts';
import { guardSlot } from '../../src/jobs/streaming.ts';
import { readNeededBackups } from '../../src/system/needed-backups.ts';
import { readStreamMarker, removeStreamMarker, streamFolder } from '../../src/system/stream-marker.ts';
import { addArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner, makeMachine, type Machine } from '../setup/machine.ts';
import { makeRecovery } from '../setup/recovery.ts';
import {
  allowReplication,
  receivers,
  recovered,
  reloaded,
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

async function start(archived: ArchivedCluster): Promise<TestArchiver> {
  const archiver = await startArchiver(archived);
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
  // What comes between the backup and the slot is stored from what the server still has.
  const archived = await makeStreamed('seconds', { wal_keep_size: '64MB' });
  const base = await makeRecovery(archived, 'seconds-base');
  for (let i = 0; i < 3; i += 1) await archived.server.sql('insert into t values (1000); select pg_switch_wal()');
  await archived.server.sql('checkpoint');
  await start(archived);
  await useMethod(archived, 'stream');
  for (let i = 0; i < 3; i += 1) {
    await archived.server.sql('insert into t select generate_series(1, 7)');
    await untilStored(archived);
  }
  await archived.server.kill();

  expect(await recovered(archived, base, 'seconds-1', count)).toBe('24|3084');
  expect((await storedEnd(archived)) % BigInt(1024 * 1024)).not.toBe(0n);
  await base.remove();
});

test('what receives, the archiver and PostgreSQL are killed again and again, and every committed row is stored', async () => {
  const archived = await makeStreamed('killed');
  let archiver = await start(archived);
  await useMethod(archived, 'stream');
  const base = await makeRecovery(archived, 'killed-base');
  let rows = 0;
  const write = async () => {
    rows += 1;
    await archived.server.sql(
      `insert into t values (1); select pg_logical_emit_message(false, 'fill', repeat('y', 300000))`,
    );
  };
  for (let round = 0; round < 6; round += 1) {
    for (let i = 0; i < 5; i += 1) await write();
    if (round % 3 === 0) {
      await until('WAL is received', async () => (await receivers(archived)).length > 0);
      for (const pid of await receivers(archived)) process.kill(pid, 'SIGKILL');
    } else if (round % 3 === 1) {
      await archiver.kill('SIGKILL');
      await write();
      archiver = await start(archived);
    } else {
      await archived.server.kill();
      await archived.server.start();
    }
    await write();
  }
  await untilStored(archived);
  expect(await receivers(archived)).toHaveLength(1);
  expect(await findHoles(await streamContext(archived, { 'wal-method': 'stream' }), archived.repository)).toEqual([]);
  await archived.server.kill();

  expect(await recovered(archived, base, 'killed-1', count)).toBe(`${rows}|${rows}`);
  await base.remove();
});

test('from archiving to the stream and back, what is stored is one line', async () => {
  const archived = await addArchivedCluster(machine, { name: 'changing', archiving: false });
  await allowReplication(archived);
  await archived.server.sql('create table t (i int)');
  await useMethod(archived, 'archive');
  const base = await makeRecovery(archived, 'changing-base');
  const archiver = await start(archived);
  let rows = 0;
  const write = async (times: number) => {
    for (let i = 0; i < times; i += 1) {
      rows += 1;
      await archived.server.sql('insert into t values (1)');
      await archived.server.sql('select pg_switch_wal()');
    }
  };
  await write(3);
  // Only the slot carries what comes now, as where archiving belongs to somebody else.
  await useMethod(archived, 'stream');
  await archived.server.sql("alter system set archive_command to '/bin/true'");
  await reloaded(archived);
  await write(4);
  await untilStored(archived);
  // The way back is asked for while nobody receives: what only the slot has must not go with it.
  await archiver.kill('SIGTERM');
  await write(3);
  await archived.server.sql('alter system reset archive_command');
  await reloaded(archived);
  for (let i = 0; i < 3; i += 1) await useMethod(archived, 'archive');
  await write(3);
  expect(await slots(archived)).toBe('1');
  await start(archived);
  await until('the slot has gone', async () => {
    await useMethod(archived, 'archive');
    return (await slots(archived)) === '0';
  });
  await write(2);
  const said = await archived.server.sql('select pg_walfile_name(pg_current_wal_lsn()); select pg_switch_wal()');
  const last = said.split('\n')[0] ?? '';
  await until(`${last} is archived`, async () => {
    await archived.server.sql('select pg_reload_conf()');
    return (await archived.server.sql('select last_archived_wal from pg_stat_archiver')) >= last;
  });

  expect(await findHoles(await streamContext(archived, {}), archived.repository)).toEqual([]);
  expect(await recovered(archived, base, 'changing-1', count)).toBe(`${rows}|${rows}`);
  await base.remove();
});

async function slots({ server }: ArchivedCluster): Promise<string> {
  return await server.sql('select count(*) from pg_replication_slots');
}

test('a slot that PostgreSQL has given up is made anew, the hole is recorded and a backup needed', async () => {
  const archived = await makeStreamed('lost', {
    max_slot_wal_keep_size: '2MB',
    max_wal_size: '2MB',
    min_wal_size: '2MB',
  });
  const first = await start(archived);
  await useMethod(archived, 'stream');
  await archived.server.sql('insert into t values (1)');
  await archived.server.sql('select pg_switch_wal()');
  await untilStored(archived);
  await first.kill('SIGTERM');
  for (let i = 0; i < 8; i += 1) {
    await archived.server.sql('insert into t values (1); select pg_switch_wal()');
  }
  await archived.server.sql('checkpoint');
  await archived.server.sql('checkpoint');
  expect(await archived.server.sql('select wal_status from pg_replication_slots')).toBe('lost');

  await useMethod(archived, 'stream');
  const context = await streamContext(archived, { 'wal-method': 'stream' });
  await start(archived);
  await untilStored(archived);

  expect(await archived.server.sql('select wal_status from pg_replication_slots')).toBe('reserved');
  expect((await findHoles(context, archived.repository)).length).toBeGreaterThan(0);
  expect((await readNeededBackups(archived.unit)).map(({ reason }) => reason)).toContain('hole');
});

test('a slot that keeps more than it may is dropped without the destination, and the stream begins anew', async () => {
  const archived = await makeStreamed('bound', { max_wal_size: '2MB', min_wal_size: '2MB' });
  const { server } = archived;
  const first = await start(archived);
  await useMethod(archived, 'stream');
  await server.sql('insert into t values (1); select pg_switch_wal()');
  await untilStored(archived);
  await first.kill('SIGTERM');
  await rename(machine.destination, `${machine.destination}.away`);
  for (let i = 0; i < 5; i += 1) await server.sql('insert into t values (1); select pg_switch_wal()');
  const context = await streamContext(archived, { 'wal-method': 'stream' });
  const mebibyte = 1024 * 1024;

  await guardSlot(context, 64 * mebibyte);
  expect(await slots(archived)).toBe('1');
  await guardSlot(context, 3 * mebibyte);
  expect(await slots(archived)).toBe('0');
  expect((await readNeededBackups(archived.unit)).map(({ why }) => why)).toContainEqual(
    expect.stringContaining('of WAL waited for the stream, more than the 3.0 MiB that it may keep'),
  );
  for (let i = 0; i < 4; i += 1) await server.sql('checkpoint; select pg_switch_wal(); insert into t values (1)');

  await rename(`${machine.destination}.away`, machine.destination);
  await start(archived);
  await useMethod(archived, 'stream');
  await untilStored(archived, 90);
  expect(await slots(archived)).toBe('1');
  expect((await findHoles(context, archived.repository)).length).toBeGreaterThan(0);
});

test('archiving that belongs to somebody else is left alone, and a slot without its marker is dropped', async () => {
  const archived = await makeStreamed('foreign', { archive_mode: 'on', archive_command: 'test -d /nowhere/%f' });
  await start(archived);
  await useMethod(archived, 'stream');
  await archived.server.sql('insert into t values (1); select pg_switch_wal()');
  await untilStored(archived);
  expect(await archived.server.sql('show archive_command')).toBe('test -d /nowhere/%f');

  const context = await streamContext(archived, { 'wal-method': 'stream' });
  await removeStreamMarker(archived.unit);
  await guardSlot(context);
  expect(await slots(archived)).toBe('0');

  await useMethod(archived, 'stream');
  await leaveCluster(context);
  expect(await slots(archived)).toBe('0');
  expect(await readStreamMarker(archived.unit)).toBeUndefined();
});

test('what was received before a standby is made of the primary is stored, and a promotion goes on with a slot anew', async () => {
  const archived = await makeStreamed('promoted', { wal_keep_size: '64MB' });
  const { server, cluster, unit } = archived;
  const base = await makeRecovery(archived, 'promoted-base');
  const archiver = await start(archived);
  await useMethod(archived, 'stream');
  await server.sql('insert into t values (1); select pg_switch_wal()');
  await untilStored(archived);
  // The destination is away while the primary ends: what was received waits in the folder.
  await rename(machine.destination, `${machine.destination}.away`);
  await server.sql('insert into t values (1); select pg_switch_wal()');
  await server.sql('insert into t values (1)');
  await server.stop();
  await writeFile(join(cluster.dataDirectory, 'standby.signal'), '');
  await server.start();
  await rename(`${machine.destination}.away`, machine.destination);
  await useMethod(archived, 'stream');
  expect(await slots(archived)).toBe('0');
  expect(await readStreamMarker(unit)).toBeUndefined();
  await until('the folder is empty', async () => newest(await readReceived(streamFolder(unit, 1))) === undefined, 90);

  await server.sql('select pg_promote()');
  await useMethod(archived, 'stream');
  expect(await slots(archived)).toBe('1');
  await server.sql('insert into t values (1); select pg_switch_wal()');
  await server.sql('insert into t values (1)');
  await untilStored(archived, 90);
  await archiver.kill('SIGTERM');
  await server.kill();

  expect(await recovered(archived, base, 'promoted-1', count)).toBe('5|5');
  await base.remove();
});

test('where nothing could be received no slot is made, and the refusal says what to do', async () => {
  const archived = await makeStreamed('refused');
  const { server, cluster } = archived;
  const hint = async () =>
    await useMethod(archived, 'stream').then(
      () => 'nothing',
      (error: unknown) => (isFailure(error, 'refused') ? error.hint : String(error)),
    );

  expect(await hint()).toContain('systemctl enable --now landscape-backup-archiver@15-refused');
  await start(archived);
  const file = join(cluster.configDirectory, 'pg_hba.conf');
  const rules = await readFile(file, 'utf8');
  await writeFile(file, `local replication all reject\n${rules}`);
  await reloaded(archived);
  expect(await hint()).toContain('Put the line "local replication postgres peer" into pg_hba.conf');
  await writeFile(file, rules);
  await server.sql("alter system set synchronous_standby_names to '*'");
  await reloaded(archived);
  expect(await hint()).toContain('wal-method to archive');
  const { stream } = await readHealthFacts(await streamContext(archived, { 'wal-method': 'stream' }));
  expect(stream).toMatchObject({
    slot: 'absent',
    refusal: { why: expect.stringContaining('synchronous_standby_names') },
  });
  expect(await slots(archived)).toBe('0');
  expect(await readStreamMarker(archived.unit)).toBeUndefined();
});
