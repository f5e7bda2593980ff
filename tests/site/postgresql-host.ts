import { setTimeout as sleep } from 'node:timers/promises';
import { createLandscapeDatabases } from '../setup/landscape-databases.ts';
import type { SiteMachine } from './machine.ts';

/** A machine with Debian's cluster 15/main, as systemd and postgresql-common run it. */
export interface PostgresqlHost {
  readonly machine: SiteMachine;
  readonly label: '15/main';
  readonly configuration: string;
  readonly data: string;
  readonly port: number;
  /** What the role `landscape` signs in with. */
  readonly password: string;
  /** How a Landscape unit on another machine names this server in `[stores] host`. */
  readonly storesHost: string;
  start(): Promise<void>;
  stop(mode?: 'smart' | 'fast' | 'immediate'): Promise<void>;
  isRunning(): Promise<boolean>;
  /** Runs SQL as the owner and gives back psql's unaligned output, without the last newline. */
  sql(text: string, database?: string): Promise<string>;
  /** Kills the postmaster and all its children at once. */
  kill(): Promise<void>;
}

export interface PostgresqlHostOptions {
  /** Whether Landscape's databases and its role are made; yes unless it is said. */
  readonly databases?: boolean;
  readonly password?: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** Left as `pg_createcluster` made it: a spare on which nobody has started anything. Running unless it is said. */
  readonly started?: boolean;
}

const configuration = '/etc/postgresql/15/main';
const data = '/var/lib/postgresql/15/main';
const port = 5432;

/** Makes the machine's cluster 15/main. It is started at every boot as long as its `start.conf` says `auto`. */
export async function makePostgresqlHost(
  machine: SiteMachine,
  {
    databases = true,
    password = `password of ${machine.name}`,
    settings = {},
    started = true,
  }: PostgresqlHostOptions = {},
): Promise<PostgresqlHost> {
  const initdb = ['--wal-segsize=1', '--no-sync', '--data-checksums'];
  await machine.run(['pg_createcluster', '15', 'main', '-p', String(port), '--start-conf', 'auto', '--', ...initdb]);
  const all = {
    listen_addresses: machine.address,
    ssl: 'off',
    fsync: 'off',
    shared_buffers: '16MB',
    max_wal_size: '256MB',
    ...settings,
  };
  const lines = Object.entries(all).map(([key, value]) => `${key} = '${value}'\n`);
  await machine.write(`${configuration}/conf.d/site.conf`, lines.join(''), { owner: 'postgres:postgres' });
  await machine.run(['sh', '-c', `echo 'host all all 127.0.0.0/8 scram-sha-256' >>${configuration}/pg_hba.conf`]);
  await machine.run(['systemctl', 'daemon-reload']);
  const host = hostOf(machine, password);
  if (!started) return host;
  await host.start();
  if (databases) {
    await createLandscapeDatabases(host);
    await host.sql(`alter role landscape password '${password.replaceAll("'", "''")}'`);
  }
  return host;
}

function hostOf(machine: SiteMachine, password: string): PostgresqlHost {
  const isRunning = async () => (await machine.execute(['pg_ctlcluster', '15', 'main', 'status'])).exitCode === 0;
  return {
    machine,
    label: '15/main',
    configuration,
    data,
    port,
    password,
    storesHost: `${machine.address}:${port}`,
    isRunning,
    start: async () => {
      await machine.run(['systemctl', 'start', 'postgresql@15-main']);
    },
    stop: async (mode = 'fast') => {
      // Past systemd for the other modes: its unit knows but one.
      if (mode === 'fast') await machine.run(['systemctl', 'stop', 'postgresql@15-main']);
      else await machine.execute(['pg_ctlcluster', '--skip-systemctl-redirect', '15', 'main', 'stop', '-m', mode]);
    },
    sql: async (text, database = 'postgres') => {
      const args = ['-X', '-p', String(port), '-d', database, '-v', 'ON_ERROR_STOP=1', '-At', '-f', '-'];
      return await machine.run(['psql', ...args], { input: text, user: 'postgres' });
    },
    kill: async () => {
      await machine.run([
        'sh',
        '-c',
        // A child that has ended by itself in between is none to kill.
        'p=$(head -n 1 "$1/postmaster.pid"); c=$(pgrep -P "$p"); kill -KILL "$p" && { kill -KILL $c 2>/dev/null || :; }',
        'kill',
        data,
      ]);
      for (let left = 200; left > 0 && (await isRunning()); left -= 1) await sleep(50);
    },
  };
}

/**
 * What the legacy postgresql charm does in every hook, whichever: renders its files anew and starts a cluster that is down.
 * A cluster that recovers without being a standby makes it wait for ever, which a test can not; it says so instead.
 */
export async function legacyPostgresqlHook(machine: SiteMachine): Promise<void> {
  if ((await machine.execute(['test', '-e', configuration])).exitCode !== 0) return;
  await rewrite(machine, `${configuration}/postgresql.conf`, renderSettings);
  await rewrite(machine, `${configuration}/pg_hba.conf`, renderAuthentication);
  await rewrite(machine, `${configuration}/pg_ident.conf`, renderIdentities);
  if ((await machine.execute(['pg_ctlcluster', '15', 'main', 'status'])).exitCode === 0) {
    await machine.run(['pg_ctlcluster', '15', 'main', 'reload']);
    return;
  }
  // It tells a failed start by the unit's status, not by an error.
  await machine.execute(['pg_ctlcluster', '15', 'main', 'start']);
  if ((await machine.execute(['test', '-e', `${data}/standby.signal`])).exitCode === 0) return;
  for (let left = 100; left > 0; left -= 1) {
    const asked = ['psql', '-X', '-At', '-d', 'postgres', '-c', 'select pg_is_in_recovery()'] as const;
    const { exitCode, stdout } = await machine.execute(asked, { user: 'postgres' });
    if (exitCode !== 0 || stdout.trim() === 'f') return;
    await sleep(100);
  }
  throw new Error(`the postgresql charm's hook on ${machine.name} waits for a recovery that does not end`);
}

async function rewrite(machine: SiteMachine, path: string, change: (text: string) => string): Promise<void> {
  const before = await machine.read(path);
  const after = change(before);
  if (after !== before) await machine.write(path, after, { owner: 'postgres:postgres', mode: 0o644 });
}

const begin = '### BEGIN JUJU SETTINGS ###';
const end = '### END JUJU SETTINGS ###';
const managed: Readonly<Record<string, string>> = {
  archive_command: '/bin/true',
  archive_mode: 'on',
  hot_standby: 'on',
  max_connections: '100',
  max_wal_senders: '10',
  wal_level: 'logical',
};

/** The charm's section is the last of the file: it outdoes whatever stands before, and `conf.d` is read before it. */
function renderSettings(text: string): string {
  const own = text.indexOf(begin);
  const rest = (own === -1 ? text : text.slice(0, own))
    .split('\n')
    .map((line) =>
      Object.keys(managed).some((key) => new RegExp(`^\\s*${key}\\b`).test(line)) ? `# juju # ${line}` : line,
    )
    .join('\n')
    .trimEnd();
  const lines = Object.entries(managed).map(([key, value]) => `${key} = '${value}'`);
  const recovery = `include_if_exists '${configuration}/juju_recovery.conf'`;
  return `${rest}\n\n${[begin, ...lines, recovery, end].join('\n')}\n`;
}

/** Every rule that was there is taken back; no rule of the charm's lets a replication connection in. */
function renderAuthentication(text: string): string {
  const own = text.indexOf(begin);
  const rest = (own === -1 ? text : text.slice(0, own))
    .split('\n')
    .map((line) => (/^\s*(#|$)/.test(line) ? line : `# juju # ${line}`))
    .join('\n')
    .trimEnd();
  const rules = [
    'local all postgres peer map=juju_charm',
    'local all nagios password',
    'local all all peer',
    'host all all 127.0.0.0/8 scram-sha-256',
    'local all all reject',
    'host all all all reject',
  ];
  return `${rest}\n\n${[begin, ...rules, end].join('\n')}\n`;
}

function renderIdentities(text: string): string {
  const own = text.indexOf(begin);
  const rest = (own === -1 ? text : text.slice(0, own)).trimEnd();
  const maps = ['juju_charm root postgres', 'juju_charm postgres postgres'];
  return `${rest}\n\n${[begin, ...maps, end].join('\n')}\n`;
}
