import { access } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../core/failure.ts';
import { environment } from '../system/environment.ts';
import { askParent, hasParent, run } from '../system/process.ts';
import type { Cluster } from './cluster.ts';

/** Starts and stops clusters the way that this machine does. Both succeed when it is so already. */
export interface Control {
  /** Returns when the cluster accepts connections. Fails with `postgres` and the end of its log's story. */
  start(cluster: Cluster): Promise<void>;
  /** Returns when no server process is left. Waits for a fast shutdown, which archives what is finished. */
  stop(cluster: Cluster): Promise<void>;
}

const stopTimeoutMs = 3_600_000;
const startTimeoutMs = 3_600_000;
const pollMs = 500;

/**
 * Chooses how: the process that started this one when it serves us (it is root), systemd where root may ask it, else
 * `pg_ctlcluster`.
 */
export function makeControl(): Control {
  if (hasParent()) {
    return {
      start: async () => await askParent({ do: 'start' }),
      stop: async () => await askParent({ do: 'stop' }),
    };
  }
  return { start, stop };
}

async function start(cluster: Cluster): Promise<void> {
  // 2: it runs already. systemd hides a failed start (`ExecStart=-…`), so what counts is looked at afterwards.
  if (await isSystemds())
    await run('systemctl', ['start', serviceOf(cluster)], { timeoutMs: startTimeoutMs, answers: [1] });
  else await run('pg_ctlcluster', [...nameOf(cluster), 'start'], { timeoutMs: startTimeoutMs, answers: [1, 2] });
  const giveUpAt = performance.now() + startTimeoutMs;
  while (await isRunning(cluster)) {
    if (await accepts(cluster)) return;
    if (performance.now() > giveUpAt) break;
    await sleep(pollMs);
  }
  throw new Failure('postgres', `the cluster ${cluster.label} did not start`, {
    hint: `Its log says why: tail ${cluster.logFile}`,
  });
}

async function stop(cluster: Cluster): Promise<void> {
  if (await isSystemds()) await run('systemctl', ['stop', serviceOf(cluster)], { timeoutMs: stopTimeoutMs });
  // Also after systemd: a cluster that was started by hand is none of its processes. 2: it does not run.
  await run('pg_ctlcluster', [...nameOf(cluster), 'stop', '-m', 'fast'], { timeoutMs: stopTimeoutMs, answers: [2] });
}

/** Tells whether the cluster's server runs, by its own lock file. */
async function isRunning(cluster: Pick<Cluster, 'major' | 'name'>): Promise<boolean> {
  const { exitCode } = await run('pg_ctlcluster', [...nameOf(cluster), 'status'], { answers: [3] });
  return exitCode === 0;
}

async function accepts(cluster: Cluster): Promise<boolean> {
  const asked = ['-q', '-h', cluster.socketDirectory, '-p', String(cluster.port), '-d', 'postgres'];
  const probe = [`${cluster.binaries}/pg_isready`, ...asked];
  // Root has no role: the server would write each question into its log as a failure.
  const ids = ['--reuid', String(cluster.ownerUid), '--regid', String(cluster.ownerGid), '--clear-groups', '--'];
  const [command = '', ...args] = process.geteuid?.() === 0 ? ['setpriv', ...ids, ...probe] : probe;
  const { exitCode } = await run(command, args, { answers: [1, 2, 3] });
  return exitCode === 0;
}

/** systemd knows the machine's own clusters, and only root may ask it without a password. */
async function isSystemds(): Promise<boolean> {
  if (process.geteuid?.() !== 0 || environment.clusterConfigurationRoot() !== '/etc/postgresql') return false;
  return await access('/run/systemd/system').then(
    () => true,
    () => false,
  );
}

function serviceOf({ major, name }: Cluster): string {
  return `postgresql@${major}-${name}`;
}

function nameOf({ major, name }: Pick<Cluster, 'major' | 'name'>): readonly string[] {
  return [major, name];
}
