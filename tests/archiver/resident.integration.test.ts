import { execa } from 'execa';
import { chmod, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { listWal, readWal } from '../../src/repository/wal-store.ts';
import { walKey } from '../../src/repository/layout.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner } from '../setup/machine.ts';
import { until } from '../setup/wait.ts';

let archived: ArchivedCluster;
interface Archiver {
  readonly pid: number | undefined;
  readonly ended: Promise<{ readonly exitCode: number | undefined; readonly stderr: string }>;
  kill(signal: 'SIGKILL' | 'SIGTERM'): void;
}

let archivers: Archiver[] = [];

beforeAll(async () => {
  becomeOwner();
  archived = await makeArchivedCluster();
  await archived.server.sql('create table t (i int)');
});

afterEach(async () => {
  for (const archiver of archivers) archiver.kill('SIGKILL');
  await Promise.all(archivers.map(({ ended }) => ended));
  archivers = [];
});

afterAll(async () => {
  await archived.machine.destroy();
});

function startArchiver(env: Readonly<Record<string, string>> = {}): Archiver {
  const program = join(archived.machine.runtime, 'bin', 'archiver');
  const child = execa(program, [archived.unit.path], { reject: false, env, cwd: '/' });
  const archiver: Archiver = {
    pid: child.pid,
    ended: child.then(({ exitCode, stderr }) => ({ exitCode, stderr })),
    kill: (signal) => {
      child.kill(signal);
    },
  };
  archivers.push(archiver);
  return archiver;
}

async function isUp(): Promise<void> {
  await until('the archiver is up', async () => {
    const line = await readFile(join(archived.unit.spool, 'archive', 'current'), 'utf8').catch(() => '');
    return archivers.some(({ pid }) => line.includes(` ${pid} `));
  });
}

/** Ends some segments with something in them, and gives back the last one's name. */
async function endSegments(count: number): Promise<string> {
  let name = '';
  for (let done = 0; done < count; done += 1) {
    const said = await archived.server.sql('insert into t values (1); select pg_walfile_name(pg_switch_wal())');
    name = said.split('\n').at(-1) ?? '';
  }
  return name;
}

async function counts(): Promise<{ archived: number; failed: number; last: string }> {
  const row = await archived.server.sql(
    "select archived_count, failed_count, coalesce(last_archived_wal, '') from pg_stat_archiver",
  );
  const [done = '', failed = '', last = ''] = row.split('|');
  return { archived: Number(done), failed: Number(failed), last };
}

async function everythingArchived(name: string): Promise<void> {
  await until(`${name} is archived`, async () => (await counts()).last >= name);
  const wal = join(archived.cluster.dataDirectory, 'pg_wal');
  const stored: string[] = [];
  for await (const each of listWal(archived.repository, archived.place)) stored.push(each);
  for (const local of await readdir(wal)) {
    if (!/^[0-9A-F]{24}$/.test(local) || local > name) continue;
    expect(stored).toContain(local);
    const chunks: Uint8Array[] = [];
    for await (const chunk of readWal(archived.repository, walKey(archived.place, local))) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(await readFile(join(wal, local)))).toBe(true);
  }
}

test('PostgreSQL archives through the archiver, and no call fails', async () => {
  startArchiver();
  await isUp();
  const before = await counts();

  await everythingArchived(await endSegments(12));

  expect((await counts()).failed).toBe(before.failed);
  await until('the spool is empty', async () => {
    const files = await readdir(join(archived.unit.spool, 'archive'), { recursive: true });
    return files.every((file) => !/^[0-9a-f]+\/[0-9A-F]{24}\./.test(file));
  });
});

test('an archiver that is killed again and again loses nothing and fails nothing', async () => {
  const before = await counts();
  let name = '';
  for (let round = 0; round < 6; round += 1) {
    const archiver = startArchiver();
    await isUp();
    name = await endSegments(4);
    archiver.kill('SIGKILL');
    await archiver.ended;
    name = await endSegments(1);
  }

  await everythingArchived(name);

  expect((await counts()).failed).toBe(before.failed);
});

test('PostgreSQL that is killed and started again finds what the archiver has done', async () => {
  startArchiver();
  await isUp();
  await endSegments(5);
  await archived.server.kill();
  await archived.server.start();

  await everythingArchived(await endSegments(3));
});

test('PostgreSQL that becomes a standby and is promoted under the archiver leaves no hole in either timeline', async () => {
  startArchiver();
  await isUp();
  await endSegments(3);
  await archived.server.stop();
  await writeFile(join(archived.cluster.dataDirectory, 'standby.signal'), '');
  await archived.server.start();
  expect(await archived.server.sql('select pg_is_in_recovery()')).toBe('t');

  await archived.server.sql('select pg_promote()');
  await until('it is promoted', async () => (await archived.server.sql('select pg_is_in_recovery()')) === 'f');
  const name = await endSegments(3);

  expect(name).toMatch(/^00000002/);
  await everythingArchived(name);
  const stored: string[] = [];
  for await (const each of listWal(archived.repository, archived.place)) stored.push(each);
  expect(stored).toContain('00000002.history');
});

test('a second archiver of the unit goes away and says why', async () => {
  startArchiver();
  await isUp();

  const { exitCode, stderr } = await startArchiver().ended;

  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/^landscape-backup archiver: the archiver of \S+15-main is already running\./);
});

test('it ends when it is told to, and nobody waits for it then', async () => {
  const archiver = startArchiver();
  await isUp();

  archiver.kill('SIGTERM');

  expect((await archiver.ended).exitCode).toBe(0);
  expect(await readFile(join(archived.unit.spool, 'archive', 'current'), 'utf8')).toMatch(/^[0-9a-f]+ 0 0\n$/);
});

test('systemd hears that it is ready, what it does, and that it lives', async () => {
  const bin = join(archived.machine.root, 'bin');
  await mkdir(bin);
  const heard = join(archived.machine.root, 'heard');
  await writeFile(join(bin, 'systemd-notify'), `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >>'${heard}'\n`);
  await chmod(join(bin, 'systemd-notify'), 0o755);
  const PATH = `${bin}:${process.env['PATH'] ?? ''}`;

  startArchiver({ PATH, NOTIFY_SOCKET: '/run/test', WATCHDOG_USEC: '1000000' });
  const lines = async () => (await readFile(heard, 'utf8').catch(() => '')).split('\n');
  await until(
    'it has been heard',
    async () => (await lines()).filter((line) => line.includes('WATCHDOG=1')).length > 1,
  );

  expect((await lines())[0]).toBe('/run/test --ready');
  expect(await lines()).toContain('/run/test --status=archiving');
});

test('a destination that goes away is said in PostgreSQL and by the archiver in the same words, and comes back', async () => {
  const archiver = startArchiver();
  await isUp();
  const { destination } = archived.machine;
  const { failed } = await counts();
  await rename(destination, `${destination}.away`);
  const name = await endSegments(2);
  await until('PostgreSQL counts a failure', async () => (await counts()).failed > failed);
  await rename(`${destination}.away`, destination);
  await until('the archiver has the file', async () => {
    await archived.server.sql('select pg_reload_conf()'); // It wakes PostgreSQL's archiver from its pause of a minute.
    return (await counts()).last >= name;
  });
  await everythingArchived(name);

  archiver.kill('SIGTERM');
  const sentence = /the destination file:\S+ is not there\. Mount it[^\n]*/;
  const said = sentence.exec((await archiver.ended).stderr)?.[0] ?? 'nothing';
  expect(await readFile(join(archived.machine.root, 'log', 'main.log'), 'utf8')).toContain(said);
});
