import { execa, execaSync } from 'execa';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listClusters, type Cluster } from '../../src/postgres/cluster.ts';

/** The user who runs PostgreSQL in tests: `postgres` where tests run as root, which PostgreSQL refuses, else ourselves. */
const owner = 'postgres';

/**
 * Makes this test file's process run as the clusters' owner, for good: PostgreSQL refuses root, and our jobs run as the
 * owner. Test files run in processes of their own, so call it once, first thing in `beforeAll`.
 */
export function becomeOwner(): void {
  if (process.getuid?.() === 0) {
    const { stdout } = execaSync('id', ['-G', owner]);
    process.setgroups?.(stdout.split(' ').map(Number));
    process.setgid?.(owner);
    process.setuid?.(owner);
  }
  process.chdir('/');
  process.umask(0o007);
}

/** A private "machine": directories and clusters of its own under the temporary directory, nothing of the real one. */
export interface Machine {
  readonly root: string;
  readonly home: string;
  readonly destination: string;
  /** The installed runtime: `bin/archive-wal`, `bin/restore-wal`, `bin/landscape-backup`, `bin/node`, `lib/*.js`. */
  readonly runtime: string;
  /** What programs of this machine need in their environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Creates a Debian cluster (not started) and gives it back as our code sees it. */
  createCluster(name: string, options?: ClusterOptions): Promise<TestCluster>;
  /** Stops all clusters and removes everything. */
  destroy(): Promise<void>;
}

export interface ClusterOptions {
  readonly major?: string;
  readonly segmentMiB?: number;
  readonly settings?: Readonly<Record<string, string>>;
  /** The data directory, when it is not the machine's own choice. */
  readonly dataDirectory?: string;
}

/** A cluster of a private machine. */
export interface TestCluster {
  readonly cluster: Cluster;
  /** Looks again: whether it runs may have changed. */
  look(): Promise<Cluster>;
  start(): Promise<void>;
  stop(mode?: 'smart' | 'fast' | 'immediate'): Promise<void>;
  /** Runs SQL through psql and gives back its unaligned output, without the last newline. */
  sql(text: string, database?: string): Promise<string>;
  /** Kills the postmaster and all its children at once. */
  kill(): Promise<void>;
}

let nextPort = 5500;

/** Makes a private machine. Sets this process's environment so that code under test finds it. */
export async function makeMachine(): Promise<Machine> {
  const root = await mkdtemp(join(tmpdir(), 'lb-'));
  await chmod(root, 0o755);
  const folders = ['conf', 'data', 'sock', 'log', 'home', 'destination'];
  for (const folder of folders) await mkdir(join(root, folder), { mode: 0o755 });
  await chmod(join(root, 'destination'), 0o2770);
  if (process.getuid?.() === 0) await chownAll([root, ...folders.map((folder) => join(root, folder))]);
  const env = { PG_CLUSTER_CONF_ROOT: join(root, 'conf'), LANDSCAPE_BACKUP_HOME: join(root, 'home') };
  Object.assign(process.env, env);
  const names: string[] = [];
  return {
    root,
    home: join(root, 'home'),
    destination: join(root, 'destination'),
    runtime: process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] ?? '',
    env,
    createCluster: async (name, options = {}) => {
      names.push(`${options.major ?? '15'} ${name}`);
      return await createCluster(root, name, options);
    },
    destroy: async () => {
      for (const each of names) {
        await asOwner('pg_ctlcluster', [...each.split(' '), 'stop', '-m', 'immediate'], { reject: false });
      }
      await rm(root, { recursive: true, force: true });
    },
  };
}

async function chownAll(paths: readonly string[]): Promise<void> {
  const { stdout } = await execa('id', ['-u', owner]);
  const { stdout: group } = await execa('id', ['-g', owner]);
  for (const path of paths) await chown(path, Number(stdout), Number(group));
}

/** Runs a program as the clusters' owner. */
export async function asOwner(
  command: string,
  args: readonly string[],
  options: { reject?: boolean; env?: Record<string, string>; input?: string } = {},
) {
  const become = process.getuid?.() === 0 ? ['setpriv', `--reuid=${owner}`, `--regid=${owner}`, '--init-groups'] : [];
  const [first = command, ...rest] = [...become, command, ...args];
  return await execa(first, rest, { ...options, cwd: '/' });
}

async function createCluster(root: string, name: string, options: ClusterOptions): Promise<TestCluster> {
  const major = options.major ?? '15';
  const port = (nextPort += 1);
  const data = options.dataDirectory ?? join(root, 'data', name);
  await asOwner('pg_createcluster', [
    major,
    name,
    '-d',
    data,
    '-s',
    join(root, 'sock'),
    '-l',
    join(root, 'log', `${name}.log`),
    '-p',
    String(port),
    '--start-conf',
    'manual',
    '--',
    `--wal-segsize=${options.segmentMiB ?? 1}`,
    '--no-sync',
    '--data-checksums',
  ]);
  const settings = {
    listen_addresses: '',
    ssl: 'off',
    fsync: 'off',
    shared_buffers: '16MB',
    max_wal_size: '256MB',
    ...options.settings,
  };
  const text = Object.entries(settings)
    .map(([key, value]) => `${key} = '${value}'\n`)
    .join('');
  const conf = join(root, 'conf', major, name, 'conf.d', 'test.conf');
  await writeFile(conf, text);
  await chmod(conf, 0o644);
  const look = async () => {
    const found = (await listClusters()).find((each) => each.major === major && each.name === name);
    if (found === undefined) throw new Error(`the cluster ${major}/${name} has gone`);
    return found;
  };
  const cluster = await look();
  return {
    cluster,
    look,
    start: async () => {
      // 2: it runs already, started by whoever was killed a moment ago.
      const { exitCode, stderr } = await asOwner('pg_ctlcluster', [major, name, 'start'], { reject: false });
      if (exitCode !== 0 && exitCode !== 2) throw new Error(`${major}/${name} did not start: ${stderr}`);
    },
    stop: async (mode = 'fast') => {
      await asOwner('pg_ctlcluster', [major, name, 'stop', '-m', mode], { reject: false });
    },
    sql: async (statement, database = 'postgres') => {
      const { stdout } = await asOwner(
        'psql',
        [
          '-X',
          '-h',
          cluster.socketDirectory,
          '-p',
          String(port),
          '-d',
          database,
          '-v',
          'ON_ERROR_STOP=1',
          '-At',
          '-f',
          '-',
        ],
        { input: statement },
      );
      return stdout;
    },
    kill: async () => {
      const pid = Number((await asOwner('head', ['-1', join(data, 'postmaster.pid')])).stdout);
      const children = await execa('pgrep', ['-P', String(pid)], { reject: false });
      process.kill(pid, 'SIGKILL');
      for (const child of children.stdout.split('\n').filter(Boolean)) {
        try {
          process.kill(Number(child), 'SIGKILL');
        } catch {
          // It ended with its parent.
        }
      }
      // The next start looks at who holds the socket, and a process is there until it has been waited for.
      for (let left = 200; left > 0 && isThere(pid); left -= 1) await new Promise((resolve) => setTimeout(resolve, 50));
    },
  };
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
