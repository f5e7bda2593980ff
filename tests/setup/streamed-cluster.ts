import { execa } from 'execa';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readLsn, type Lsn } from '../../src/core/lsn.ts';
import { indexWal } from '../../src/core/wal-index.ts';
import { configure } from '../../src/jobs/configure.ts';
import { listWal } from '../../src/repository/wal-store.ts';
import { settingsFile } from '../../src/system/home.ts';
import type { ArchivedCluster } from './archived-cluster.ts';
import { jobContext } from './job-context.ts';
import type { TestRecovery } from './recovery.ts';
import { until } from './wait.ts';

const mebibyte = 1024 * 1024;

/** The archiver's program, as systemd would start it. */
export interface TestArchiver {
  readonly pid: number | undefined;
  kill(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** What it has said up to now. */
  said(): string;
}

/** Starts it, and returns when it has the lock. It is killed at the end of the test's process at the latest. */
export async function startArchiver({ machine, unit }: ArchivedCluster): Promise<TestArchiver> {
  const child = execa(join(machine.runtime, 'bin', 'archiver'), [unit.path], { reject: false, cwd: '/' });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await until('the archiver runs', async () => await isHeld(unit.lock('archiver')));
  return {
    pid: child.pid,
    kill: async (signal = 'SIGKILL') => {
      child.kill(signal);
      await child;
    },
    said: () => said,
  };
}

/** Looks at who holds a lock without trying to take it. */
async function isHeld(path: string): Promise<boolean> {
  return (await execa('pgrep', ['-f', path], { reject: false })).exitCode === 0;
}

/** What a job on this cluster starts from, with these options, which stand in the settings file as well. */
export async function streamContext(
  { machine, server, encryption }: ArchivedCluster,
  options: Readonly<Record<string, unknown>>,
) {
  const all = { destination: machine.destination, ...encryption, ...options };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`);
  await writeFile(settingsFile(machine.home), lines.join(''));
  return await jobContext(machine, server, { ...encryption, ...options });
}

/** Brings a cluster to a method, as `run-due` does. */
export async function useMethod(archived: ArchivedCluster, method: 'archive' | 'stream'): Promise<void> {
  const context = await streamContext(archived, { 'wal-method': method, 'restart-postgresql': true });
  await configure(context, archived.repository);
}

/** Has the server read its configuration, and returns when new connections follow it. */
export async function reloaded({ server }: ArchivedCluster): Promise<void> {
  const loadedAt = async () => await server.sql('select pg_conf_load_time()');
  const before = await loadedAt();
  await server.sql('select pg_reload_conf()');
  await until('the configuration is read', async () => (await loadedAt()) !== before);
}

/** Allows the cluster's owner to replicate without a password. */
export async function allowReplication(archived: ArchivedCluster): Promise<void> {
  const file = join(archived.cluster.configDirectory, 'pg_hba.conf');
  if (/^local\s+replication/m.test(await readFile(file, 'utf8'))) return;
  await appendFile(file, 'local replication all peer\n');
  await reloaded(archived);
}

/** The process ids of what receives WAL of this cluster. */
export async function receivers({ unit }: ArchivedCluster): Promise<readonly number[]> {
  const { stdout } = await execa('pgrep', ['-f', `pg_receivewal.* -D ${join(unit.path, 'stream')}`], { reject: false });
  return stdout.split('\n').filter(Boolean).map(Number);
}

/** Up to where WAL is stored without a gap from a segment on, parts included. */
export async function storedEnd({ repository, place }: ArchivedCluster): Promise<Lsn> {
  const names: string[] = [];
  for await (const name of listWal(repository, place)) names.push(name);
  return endOf(names, mebibyte);
}

/** The same from the names of what is stored. */
export function endOf(names: readonly string[], segmentSize: number): Lsn {
  const index = [...indexWal(names, segmentSize).timelines.values()].at(-1);
  if (index === undefined || (index.timeline > 1 && !index.hasHistory)) return 0n;
  const whole = (index.runs.at(-1)?.last ?? -1) + 1;
  const part = index.parts.at(-1);
  const end =
    part !== undefined && part.segment >= whole ? part.segment * segmentSize + part.length : whole * segmentSize;
  return BigInt(end);
}

/** Waits until everything that is committed now is stored. */
export async function untilStored(archived: ArchivedCluster, seconds = 60): Promise<void> {
  const text = await archived.server.sql('select pg_current_wal_insert_lsn()');
  await archived.server.sql("select pg_logical_emit_message(true, 'test', repeat('x', 100))");
  const lsn = readLsn(text);
  if (lsn === undefined) throw new Error(`${text} is no LSN`);
  await until(`everything up to ${text} is stored`, async () => (await storedEnd(archived)) >= lsn, seconds);
}

/** What a query says after a recovery to the end of all that is stored, by `restore-wal` without a plan. */
export async function recovered(archived: ArchivedCluster, base: TestRecovery, name: string, query: string) {
  const { machine, unit } = archived;
  const recovery = await base.copy(name);
  await writeFile(join(recovery.dataDirectory, 'recovery.signal'), '');
  const command = `'${join(machine.runtime, 'bin', 'restore-wal')}' '${unit.path}' '%p' '%f'`;
  try {
    const settings = { restore_command: command, archive_mode: 'off', hot_standby: 'off' };
    if (!(await recovery.start(settings))) throw new Error(await recovery.log());
    return await recovery.sql(query);
  } finally {
    await recovery.remove();
  }
}
