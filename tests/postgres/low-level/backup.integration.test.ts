import { execa } from 'execa';
import { createWriteStream } from 'node:fs';
import { access, mkdir, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { segmentName, segmentOf } from '../../../src/core/wal-name.ts';
import type { BaseBackupRequest } from '../../../src/postgres/base-backup-command.ts';
import type { BaseBackupEnd, RunningBaseBackup } from '../../../src/postgres/base-backup.ts';
import type { Cluster } from '../../../src/postgres/cluster.ts';
import { LowLevelArchives } from '../../../src/postgres/low-level/archives.ts';
import { withLowLevelBackup } from '../../../src/postgres/low-level/backup.ts';
import { lowLevelCommands } from '../../../src/postgres/low-level/commands.ts';
import { readTar } from '../../../src/system/tar-stream.ts';
import { changeRules, legacyRules } from '../../setup/hba.ts';
import { asOwner, becomeOwner, makeMachine, type Machine, type TestCluster } from '../../setup/machine.ts';

let machine: Machine;
let server: TestCluster;
let cluster: Cluster;

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
  server = await machine.createCluster('main');
  await server.start();
  cluster = await server.look();
  await changeRules(server, cluster, legacyRules);
  for (const name of ['one', 'two']) {
    await mkdir(join(machine.root, 'data', name), { mode: 0o700 });
    await server.sql(`CREATE TABLESPACE ${name} LOCATION '${join(machine.root, 'data', name)}'`);
  }
  await server.sql(`
    CREATE TABLE here AS SELECT n, md5(n::text) AS t FROM generate_series(1, 20000) n;
    CREATE TABLE there TABLESPACE one AS SELECT n, md5(n::text) AS t FROM generate_series(1, 20000) n;
    CREATE UNLOGGED TABLE passing TABLESPACE two AS SELECT n FROM generate_series(1, 1000) n;
    CREATE UNLOGGED TABLE fleeting AS SELECT n FROM generate_series(1, 1000) n;`);
});

afterAll(async () => {
  await machine.destroy();
});

interface Received {
  readonly base: string;
  readonly backup: RunningBaseBackup;
  readonly end: BaseBackupEnd;
}

const asked: BaseBackupRequest = {
  label: 'a test',
  withWal: true,
  compression: { where: 'server', level: 1, workers: 2 },
};

/** Takes a backup and unpacks it as PostgreSQL wants it for `pg_verifybackup`. */
async function receive(request: Partial<BaseBackupRequest> = {}): Promise<Received> {
  const base = join(await mkdtemp(join(machine.root, 'data', 'received-')), 'base');
  const folders = new Map<number, string>();
  const all = { ...asked, ...request };
  const received = await withLowLevelBackup(cluster, 150_000, all, new AbortController().signal, async (backup) => {
    for await (const object of backup.objects) {
      if (object.kind === 'manifest') {
        await pipeline(Readable.from(object.body), createWriteStream(join(base, 'backup_manifest')));
        continue;
      }
      const into = object.oid === null ? base : `${base}-${object.oid}`;
      if (object.oid !== null) folders.set(object.oid, into);
      await mkdir(into, { mode: 0o700 });
      const tar = execa('tar', ['-x', '-C', into, '-f', '-'], { stdin: 'pipe' });
      // A stream reads ahead, and a chunk is good only until the next but two is asked for: it gets copies.
      await pipeline(Readable.from(buffers(object.body)), tar.stdin);
      await tar;
    }
    return { base, backup, end: await backup.end() };
  });
  for (const [oid, folder] of folders) await symlink(folder, join(base, 'pg_tblspc', String(oid)));
  return received;
}

async function readAll(backup: RunningBaseBackup): Promise<BaseBackupEnd> {
  for await (const { body } of backup.objects) for await (const _chunk of body);
  return await backup.end();
}

/** A backup of which nothing is kept, and what happens when it has begun. */
async function take(happens: (backup: RunningBaseBackup) => Promise<void>, signal = new AbortController().signal) {
  return await withLowLevelBackup(cluster, 150_000, asked, signal, async (backup) => {
    await happens(backup);
    return await readAll(backup);
  });
}

async function verify({ base }: Received): Promise<void> {
  await asOwner(join(cluster.binaries, 'pg_verifybackup'), [base]);
}

/** Kinds, modes and names below a directory, without what `pg_basebackup` adds to the server's tar or leaves out of it. */
async function namesBelow(folder: string): Promise<readonly string[]> {
  const { stdout } = await asOwner('find', [folder, '-printf', '%y %m %P\n']);
  const own = /^l |backup_manifest|tablespace_map/;
  return stdout
    .split('\n')
    .filter((line) => !own.test(line))
    .sort();
}

const ignored = { data: async () => undefined, end: async () => undefined };

async function* buffers(body: AsyncIterable<Uint8Array>): AsyncIterable<Buffer> {
  for await (const chunk of body) yield Buffer.from(chunk);
}

/** How many sessions of ours the server knows. */
async function sessions(): Promise<string> {
  return await server.sql(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'landscape-backup'`);
}

describe('a base backup by the low-level API', () => {
  test('is what its manifest says, tablespaces and WAL included', async () => {
    const received = await receive();

    await verify(received);
    const { backup, end } = received;
    expect(backup.tablespaces.map(({ oid }) => oid === null)).toEqual([false, false, true]);
    expect(backup.tablespaces[0]?.location).toBe(join(machine.root, 'data', 'one'));
    expect(backup.compression).toEqual({ where: 'client', level: 1 });
    expect(end).toMatchObject({ timeline: 1, badPages: false, warnings: [] });
    expect(end.lsn).toBeGreaterThan(backup.start.lsn);
    expect(backup.plainBytes()).toBeGreaterThan(4_000_000);
    expect(await readFile(join(received.base, 'backup_label'), 'utf8')).toMatch(/\nLABEL: a test\n/);
    const status = await readdir(join(received.base, 'pg_wal', 'archive_status'));
    const wal = await readdir(join(received.base, 'pg_wal'));
    expect(status.sort()).toEqual(wal.filter((name) => name !== 'archive_status').map((name) => `${name}.done`));
    expect(await server.sql('SELECT count(*) FROM pg_replication_slots')).toBe('0');
  });

  test('has the control file last of all, behind what recovery needs beside it', async () => {
    const names: string[] = [];
    await withLowLevelBackup(cluster, 150_000, asked, new AbortController().signal, async (backup) => {
      for await (const { kind, body } of backup.objects) {
        if (kind === 'manifest') for await (const _chunk of body);
        else await readTar(buffers(body), { ...ignored, begin: async ({ path }) => void names.push(path) });
      }
      await backup.end();
    });

    expect(names.at(-1)).toBe('global/pg_control');
    expect(names.filter((name) => name === 'global/pg_control')).toHaveLength(1);
    expect(names.slice(names.indexOf('backup_label')).slice(0, 3)).toEqual([
      'backup_label',
      'tablespace_map',
      expect.stringMatching(/^pg_wal\/[0-9A-F]{24}$/),
    ]);
  });

  test('holds the names and modes that pg_basebackup gets', async () => {
    const { dataDirectory } = cluster;
    for (const path of ['pgsql_tmp.landscape-backup-old-x', 'ours']) await mkdir(join(dataDirectory, path));
    const odd = [
      'pg_internal.init.7',
      'postgresql.auto.conf.tmp',
      'backup_label.old',
      'pgsql_tmp.landscape-backup-old-x/a',
    ];
    for (const name of [...odd, 'ours/of the user']) await writeFile(join(dataDirectory, name), name);
    await execa('mkfifo', [join(dataDirectory, 'ours', 'fifo')]);
    const holder = execa('psql', ['-X', '-h', cluster.socketDirectory, '-p', String(cluster.port), 'postgres'], {
      input: 'CREATE TEMP TABLE kept AS SELECT n FROM generate_series(1, 5000) n; SELECT pg_sleep(60);',
      reject: false,
    });
    await expect.poll(async () => await server.sql("SELECT count(*) FROM pg_class WHERE relname = 'kept'")).toBe('1');
    const forbid = await changeRules(server, cluster, `local replication all peer\n${legacyRules}`);
    const theirs = join(machine.root, 'data', 'theirs');
    const moved = ['one', 'two'].map((name) => `-T${join(machine.root, 'data', name)}=${theirs}-${name}`);
    const where = ['-h', cluster.socketDirectory, '-p', String(cluster.port), '-c', 'fast', '-X', 'none', '-D', theirs];
    await asOwner(join(cluster.binaries, 'pg_basebackup'), [...where, ...moved]);
    await forbid();
    const received = await receive({ withWal: false });
    await server.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()`,
    );
    await holder;

    const [one, two] = received.backup.tablespaces;
    expect(await namesBelow(received.base)).toEqual(await namesBelow(theirs));
    expect(await namesBelow(`${received.base}-${one?.oid ?? ''}`)).toEqual(await namesBelow(`${theirs}-one`));
    expect(await namesBelow(`${received.base}-${two?.oid ?? ''}`)).toEqual(await namesBelow(`${theirs}-two`));
    expect(received.end.warnings).toEqual([`left out the special file "${join(dataDirectory, 'ours', 'fifo')}"`]);
    for (const path of ['pgsql_tmp.landscape-backup-old-x', 'ours'])
      await rm(join(dataDirectory, path), { recursive: true });
  });

  test('of a cluster with a bad page is whole and says so', async () => {
    await server.sql('CREATE TABLE broken AS SELECT n FROM generate_series(1, 1000) n; CHECKPOINT');
    const path = await server.sql("SELECT pg_relation_filepath('broken')");
    const file = await open(join(cluster.dataDirectory, path), 'r+');
    for (const at of [4000, 4000 + 8192]) await file.write(Buffer.from('spoilt'), 0, 6, at);
    await file.close();

    const received = await receive();
    await server.sql('DROP TABLE broken');

    expect(received.end.badPages).toBe(true);
    const told =
      /^checksum verification failed in file "base\/\d+\/\d+", block [01]: calculated [0-9A-F]+ but expected/;
    expect(received.end.warnings).toEqual([
      expect.stringMatching(told),
      expect.stringMatching(told),
      '2 total checksum verification failures',
    ]);
    await verify(received);
  });

  test('carries WAL that the server would have recycled before its end', async () => {
    const segmentSize = 1024 * 1024;
    await take(async ({ start }) => {
      const first = segmentName(1, segmentOf(start.lsn, segmentSize), segmentSize);
      for (let turn = 0; turn < 4; turn += 1) await server.sql('SELECT txid_current(), pg_switch_wal(); CHECKPOINT');
      await access(join(cluster.dataDirectory, 'pg_wal', first));
    });

    expect(await server.sql('SELECT count(*) FROM pg_replication_slots')).toBe('0');
  });

  test('leaves no transaction open, and no session behind when it is given up', async () => {
    const states: string[] = [];
    const giveUp = take(async () => {
      states.push(await server.sql(`SELECT state FROM pg_stat_activity WHERE application_name = 'landscape-backup'`));
      throw new Error('enough');
    });

    await expect(giveUp).rejects.toThrow('enough');
    expect(states).toEqual(['idle']);
    await expect.poll(sessions, { timeout: 10_000 }).toBe('0');
    expect((await take(async () => undefined)).badPages).toBe(false);
  });

  test('outlives what an administrator sets against idle and long sessions', async () => {
    await server.sql(`ALTER SYSTEM SET idle_session_timeout = '3s'`);
    await server.sql(`ALTER SYSTEM SET idle_in_transaction_session_timeout = '3s'`);
    await server.sql(`SELECT pg_reload_conf()`);
    await take(async () => await new Promise((resolve) => setTimeout(resolve, 5000)));

    await server.sql('ALTER SYSTEM RESET ALL');
    await server.sql(`SELECT pg_reload_conf()`);
  });

  test('whose connection is lost in the middle fails', async () => {
    const lost = take(async () => {
      await server.sql(
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'landscape-backup'`,
      );
    });

    await expect(lost).rejects.toMatchObject({
      kind: 'postgres',
      message: expect.stringMatching(/has given the backup up: terminating connection due to administrator command$/),
    });
  });

  test('that is stopped by its signal ends at once', async () => {
    const controller = new AbortController();
    const stopped = take(async () => {
      controller.abort();
    }, controller.signal);

    await expect(stopped).rejects.toMatchObject({ kind: 'machine', message: 'the backup was stopped' });
    await expect.poll(sessions, { timeout: 10_000 }).toBe('0');
  });

  test('of a server that dies in the middle fails', async () => {
    const died = take(async () => {
      await server.kill();
    });

    await expect(died).rejects.toMatchObject({ kind: 'postgres' });
    await server.start();
  });

  test('is none when a tablespace came or went as it began', async () => {
    const commands = lowLevelCommands(150_000);
    if (commands === undefined) throw new Error('15 has the low-level API');
    const at = { lsn: 1n, timeline: 1 };
    const archives = await LowLevelArchives.begin({
      dataDirectory: cluster.dataDirectory,
      systemIdentifier: '1',
      tablespaceVersion: 'PG_15_202209061',
      pages: undefined,
      statisticsDirectory: null,
      start: at,
      tablespaces: [{ oid: null, location: null, estimatedBytes: 0 }],
      commands,
      withWal: false,
      binaries: cluster.binaries,
      guard: () => undefined,
      warn: () => undefined,
      stop: async () => ({ label: Buffer.from('label\n'), map: Buffer.from('16384 /srv/new\n'), at }),
    });
    const all = async () => {
      for await (const { body } of archives.objects()) for await (const _chunk of body);
    };

    await expect(all()).rejects.toMatchObject({
      kind: 'postgres',
      message: 'a tablespace was made or dropped at the moment at which the backup began',
    });
  });
});
