import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ArchivedCluster } from './archived-cluster.ts';
import { asOwner } from './machine.ts';

let nextPort = 7500;

/** A data directory made from a base backup, and a server of its own for it that a test starts and watches. */
export interface TestRecovery {
  readonly dataDirectory: string;
  /** Starts it with settings and says whether it ends recovery and opens, rather than stopping by itself. */
  start(settings: Readonly<Record<string, string>>): Promise<boolean>;
  stop(): Promise<void>;
  isUp(): Promise<boolean>;
  sql(text: string): Promise<string>;
  /** What the server has said since it was last started. */
  log(): Promise<string>;
  /** Another one from the same base backup. */
  copy(name: string): Promise<TestRecovery>;
  remove(): Promise<void>;
}

/** Takes a base backup of a running cluster with PostgreSQL's own tool, without any WAL in it. */
export async function makeRecovery(archived: ArchivedCluster, name: string): Promise<TestRecovery> {
  const { cluster, machine } = archived;
  const dataDirectory = join(machine.root, name);
  const at = ['-h', cluster.socketDirectory, '-p', String(cluster.port), '-D', dataDirectory];
  const how = ['-X', 'none', '-c', 'fast', '--no-sync', '--no-manifest'];
  await asOwner(join(cluster.binaries, 'pg_basebackup'), [...at, ...how]);
  await writeFile(join(dataDirectory, 'pg_hba.conf'), 'local all all trust\nlocal replication all trust\n');
  await writeFile(join(dataDirectory, 'pg_ident.conf'), '');
  return recoveryAt(archived, dataDirectory);
}

function recoveryAt(archived: ArchivedCluster, dataDirectory: string): TestRecovery {
  const { cluster, machine } = archived;
  const port = (nextPort += 1);
  const log = `${dataDirectory}.log`;
  const control = async (...args: string[]) =>
    await asOwner(join(cluster.binaries, 'pg_ctl'), ['-D', dataDirectory, ...args], { reject: false });
  const isUp = async () => (await control('status')).exitCode === 0;
  const sql = async (text: string) => {
    const at = ['-h', join(machine.root, 'sock'), '-p', String(port), '-d', 'postgres'];
    const { stdout } = await asOwner('psql', ['-X', ...at, '-v', 'ON_ERROR_STOP=1', '-At', '-c', text]);
    return stdout;
  };
  return {
    dataDirectory,
    start: async (settings) => {
      const all = {
        listen_addresses: '',
        unix_socket_directories: join(machine.root, 'sock'),
        port: String(port),
        shared_buffers: '16MB',
        fsync: 'off',
        ...settings,
      };
      const lines = Object.entries(all).map(([key, value]) => `${key} = '${value.replaceAll("'", "''")}'\n`);
      await writeFile(join(dataDirectory, 'postgresql.conf'), lines.join(''));
      await rm(log, { force: true });
      await control('-W', '-l', log, 'start');
      // A start command returns while recovery goes on; only the server itself says how it ended.
      for (let tries = 0; tries < 600; tries += 1) {
        if ((await sql('select pg_is_in_recovery()').catch(() => 't')) === 'f') return true;
        if (tries > 3 && !(await isUp())) return false;
        await sleep(100);
      }
      throw new Error(`recovery neither ended nor stopped: ${await readFile(log, 'utf8')}`);
    },
    stop: async () => {
      await control('-m', 'immediate', '-w', 'stop');
    },
    isUp,
    sql,
    log: async () => await readFile(log, 'utf8'),
    copy: async (name) => {
      const other = join(machine.root, name);
      await cp(dataDirectory, other, { recursive: true });
      return recoveryAt(archived, other);
    },
    remove: async () => {
      await control('-m', 'immediate', '-w', 'stop');
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}
