import { execa } from 'execa';
import { chmod, mkdir, readFile, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { servePlanFile } from '../../src/archiver/restore-wal.ts';
import { servePlanSchema } from '../../src/core/restore-service.ts';
import { readWalName, segmentNumber } from '../../src/core/wal-name.ts';
import { walKey } from '../../src/repository/layout.ts';
import { listWal } from '../../src/repository/wal-store.ts';
import { writeJson } from '../../src/system/files.ts';
import { addArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner, makeMachine, type Machine } from '../setup/machine.ts';
import { bundleFaults, makeOwnRuntime, type BundleFault, type OwnRuntime } from '../setup/own-runtime.ts';
import { makeRecovery, type TestRecovery } from '../setup/recovery.ts';
import { until } from '../setup/wait.ts';

const mebibyte = 1024 * 1024;
const rows = 12_000;

let machine: Machine;
let runtime: OwnRuntime;
let archived: ArchivedCluster;
let original: TestRecovery;
let recovery: TestRecovery;
let segments: number[];
let round = 0;

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  runtime = await makeOwnRuntime(machine);
  archived = await addArchivedCluster(machine);
  const { server } = archived;
  await server.sql('create table t (i int, filler text)');
  original = await makeRecovery(archived, 'original');
  await server.sql(`insert into t select i, repeat(md5(i::text), 5) from generate_series(1, ${rows}) i`);
  const last = (await server.sql('select pg_walfile_name(pg_switch_wal())')).trim();
  await until(`${last} is archived`, async () => {
    await server.sql('select pg_reload_conf()');
    return (await server.sql('select last_archived_wal from pg_stat_archiver')) >= last;
  });
  await server.stop();
  segments = [];
  for await (const name of listWal(archived.repository, archived.place)) {
    const read = readWalName(name);
    if (read?.kind === 'segment') segments.push(segmentNumber(read, mebibyte) ?? -1);
  }
  segments.sort((a, b) => a - b);
  expect(segments.length).toBeGreaterThan(4);
});

afterAll(async () => {
  await machine.destroy();
});

beforeEach(async () => {
  round += 1;
  recovery = await original.copy(`recovery-${round}`);
  await writeFile(join(recovery.dataDirectory, 'recovery.signal'), '');
  await rm(archived.unit.restore, { recursive: true, force: true });
  return async () => {
    await recovery.remove();
  };
});

async function recover(): Promise<boolean> {
  const command = `'${join(runtime.path, 'bin', 'restore-wal')}' '${archived.unit.path}' '%p' '%f'`;
  return await recovery.start({ restore_command: command, archive_mode: 'off', hot_standby: 'off' });
}

async function servePlan(patienceSeconds = 0): Promise<void> {
  await mkdir(archived.unit.restore, { recursive: true });
  const { systemIdentifier, incarnation } = archived.place;
  const service = {
    repositoryId: archived.repository.record.id,
    url: `file://${machine.destination}`,
    systemIdentifier,
    segmentSize: mebibyte,
    segments: [{ timeline: 1, first: segments[0] ?? 0, last: segments.at(-1) ?? 0, incarnation }],
    histories: [],
  };
  await writeJson(servePlanFile(archived.unit), servePlanSchema, {
    format: 1,
    planId: 'test',
    patienceSeconds,
    service,
  });
}

async function allRowsAreThere(): Promise<void> {
  await until('recovery has ended', async () => {
    return (await recovery.sql('select pg_is_in_recovery()').catch(() => 't')) === 'f';
  });
  expect(await recovery.sql('select count(*), coalesce(sum(i), 0) from t')).toBe(`${rows}|${(rows * (rows + 1)) / 2}`);
}

/** PostgreSQL stopped rather than open with rows missing. */
async function stopped(): Promise<string> {
  expect(await recover()).toBe(false);
  expect(await recovery.isUp()).toBe(false);
  const log = await recovery.log();
  expect(log).not.toContain('database system is ready to accept connections');
  expect(log).not.toContain('archive recovery complete');
  return log;
}

async function middleObject(): Promise<string> {
  const middle = segments[Math.floor(segments.length / 2)] ?? 0;
  const name = `0000000100000000${middle.toString(16).toUpperCase().padStart(8, '0')}`;
  return join(machine.destination, walKey(archived.place, name));
}

test('a recovery that is served its plan comes back with every row', async () => {
  await servePlan();

  expect(await recover()).toBe(true);
  await allRowsAreThere();
});

test('a recovery without a plan comes back with every row', async () => {
  expect(await recover()).toBe(true);
  await allRowsAreThere();
});

const faults = Object.keys(bundleFaults) as BundleFault[];

test('one recovery stops for every way in which the program can end by itself, and comes back with every row', async () => {
  await servePlan();

  for (const fault of faults) {
    const log = await runtime.broken('restore-wal', fault, stopped);
    expect(log, fault).toMatch(
      /could not restore file "\S+" from archive: child process (exited with exit code (200|137)|was terminated by signal 9)/,
    );
  }

  expect(await recover()).toBe(true);
  await allRowsAreThere();
});

test('recovery stops when the front finds no Node', async () => {
  await servePlan();
  const node = join(runtime.path, 'bin', 'node');
  await unlink(node);

  expect(await stopped()).toContain('exit code 200');

  await symlink(join(machine.runtime, 'bin', 'node'), node);
  expect(await recover()).toBe(true);
  await allRowsAreThere();
});

test.for(['with', 'without'])('recovery %s a plan stops at a segment that is damaged', async (plan) => {
  if (plan === 'with') await servePlan();
  const object = await middleObject();
  const whole = await readFile(object);
  await chmod(object, 0o640);
  const broken = Buffer.from(whole);
  broken.writeUInt8(broken.readUInt8(whole.byteLength >> 1) ^ 0xff, whole.byteLength >> 1);
  await writeFile(object, broken);

  const log = await stopped();

  expect(log).toMatch(/landscape-backup restore-wal: the object \S+ (does not decompress|has other bytes)/);
  expect(log).toContain('exit code 200');
  await writeFile(object, whole);
  expect(await recover()).toBe(true);
  await allRowsAreThere();
});

test.for(['with', 'without'])('recovery %s a plan stops at a segment that is missing', async (plan) => {
  if (plan === 'with') await servePlan();
  const object = await middleObject();
  await rename(object, `${machine.root}/away`);

  const log = await stopped();

  expect(log).toMatch(plan === 'with' ? /restore-wal: \S+ is not there/ : /after it is: the WAL has a hole/);
  expect(log).toContain('exit code 200');
  await rename(`${machine.root}/away`, object);
  expect(await recover()).toBe(true);
  await allRowsAreThere();
});

test('recovery stops when the destination is not mounted, and comes back with every row when it is', async () => {
  await servePlan(1);
  await rename(machine.destination, `${machine.destination}.away`);
  await mkdir(machine.destination);

  const log = await stopped();

  expect(log).toMatch(/landscape-backup restore-wal: there is no repository at file:/);
  await rm(machine.destination, { recursive: true });
  await rename(`${machine.destination}.away`, machine.destination);
  expect(await recover()).toBe(true);
  await allRowsAreThere();
});

test('recovery waits for a destination that comes back within the patience of its plan', async () => {
  await servePlan(30);
  await rename(machine.destination, `${machine.destination}.away`);
  const recovering = recover();
  await new Promise((done) => setTimeout(done, 2000));
  await rename(`${machine.destination}.away`, machine.destination);

  expect(await recovering).toBe(true);
  await allRowsAreThere();
});

test('a call whose front was killed puts nothing into the place of what PostgreSQL asks for next', async () => {
  await servePlan(30);
  await rename(machine.destination, `${machine.destination}.away`);
  const recovering = recover();
  await until('a call waits', async () => (await childrenOf('restore-wal.js')).length > 0);
  const orphans = await childrenOf('restore-wal.js');
  for (const { parent } of orphans) process.kill(parent, 'SIGKILL');
  expect(await recovering).toBe(false);
  expect(await recovery.isUp()).toBe(false);

  await rename(`${machine.destination}.away`, machine.destination);
  await until('the orphan has noticed', async () => (await childrenOf('restore-wal.js')).length === 0);
  await expect(readFile(join(recovery.dataDirectory, 'pg_wal', 'RECOVERYXLOG'))).rejects.toThrow('ENOENT');
  expect(await recover()).toBe(true);
  await allRowsAreThere();
});

/** The processes of this machine's own runtime that run a bundle, with their parents. */
async function childrenOf(bundle: string): Promise<readonly { pid: number; parent: number }[]> {
  const { stdout } = await execa('ps', ['-eo', 'pid=,ppid=,args=']);
  return stdout.split('\n').flatMap((line) => {
    const [pid, parent] = line.trim().split(/\s+/);
    return line.includes(`${runtime.path}/bin/node`) && line.includes(bundle)
      ? [{ pid: Number(pid), parent: Number(parent) }]
      : [];
  });
}
