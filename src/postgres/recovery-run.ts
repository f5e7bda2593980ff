import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../core/failure.ts';
import type { RecoverySettings } from '../core/recovery-settings.ts';
import { errorCode, writeAtomically } from '../system/files.ts';
import type { Cluster } from './cluster.ts';
import { readControlData } from './control-data.ts';
import { lastFatal, readLog, startPrivateServer, type PrivateServer } from './private-server.ts';
import { withConnection, type Connection } from './query.ts';
import { isInProduction, stopServer } from './server-process.ts';

/** How a recovery is run and watched. */
export interface RecoveryRun {
  readonly cluster: Cluster;
  /** A folder of ours for the socket and the log. */
  readonly folder: string;
  readonly settings: RecoverySettings;
  readonly signal?: AbortSignal | undefined;
  /** Told the name of the WAL file that was replayed last. */
  readonly report: (file: string | undefined) => void;
}

/** How a run ended: the server came out of recovery, or went down on the way and said why. */
export type RecoveryEnd<T> =
  | { readonly is: 'recovered'; readonly value: T }
  | {
      readonly is: 'down';
      readonly said: string;
      readonly hint: string | undefined;
      readonly file: string | undefined;
    };

const pollMs = 100;
const reportMs = 1000;
/** After recovery the server accepts connections at once; what takes longer than this is no start any more. */
const acceptMs = 120_000;

/** Writes what tells PostgreSQL to recover. Without the options of the same settings a server that finds it refuses to start. */
export async function writeRecoveryFiles(dataDirectory: string, { files }: RecoverySettings): Promise<void> {
  for (const { name, contents } of files) await writeAtomically(join(dataDirectory, name), contents);
}

/**
 * Tells whether recovery is still to be done, or to go on: its backup's label is still there, or the control file says so.
 *
 * It may have ended while nobody looked; then starting it again must not begin another.
 */
async function isRecoveryDue({ binaries, dataDirectory }: Cluster): Promise<boolean> {
  if (await isThere(join(dataDirectory, 'backup_label'))) return true;
  const { state } = await readControlData(binaries, dataDirectory);
  return state === 'in archive recovery' || state === 'shut down in recovery';
}

/**
 * Runs PostgreSQL until it is out of recovery, does some work over its private socket, and stops it again.
 *
 * A server that a process before us left behind is stopped first. Going down on the way is an answer, not a failure.
 */
export async function runRecovery<T>(
  run: RecoveryRun,
  work: (connection: Connection) => Promise<T>,
): Promise<RecoveryEnd<T>> {
  const { cluster, folder, settings } = run;
  const { dataDirectory } = cluster;
  await stopServer(dataDirectory);
  const due = await isRecoveryDue(cluster);
  if (due) await writeRecoveryFiles(dataDirectory, settings);
  const options: readonly (readonly [string, string])[] = due ? settings.options : [['archive_mode', 'off']];
  const server = await startPrivateServer(cluster, folder, options);
  let down = false;
  void server.running.ended.then(() => {
    down = true;
  });
  try {
    let reportedAt = 0;
    while (!down) {
      if (run.signal?.aborted === true) throw new Failure('machine', 'the restore was stopped');
      if (await isOut(dataDirectory, settings)) {
        const value = await workOver(server, work, () => down);
        if (value !== undefined) return { is: 'recovered', value: value.value };
      }
      if (performance.now() - reportedAt > reportMs) {
        reportedAt = performance.now();
        run.report(lastRestored(await readLog(server)));
      }
      await sleep(pollMs);
    }
    return await whyDown(server);
  } finally {
    await stopServer(dataDirectory);
    await server.running.ended;
  }
}

async function isOut(dataDirectory: string, { files }: RecoverySettings): Promise<boolean> {
  for (const { name } of files) if (await isThere(join(dataDirectory, name))) return false;
  return await isInProduction(dataDirectory);
}

/** Connects as soon as the server lets us, and does the work once. `undefined`: it went down before. */
async function workOver<T>(
  { address }: PrivateServer,
  work: (connection: Connection) => Promise<T>,
  isDown: () => boolean,
): Promise<{ readonly value: T } | undefined> {
  const giveUpAt = performance.now() + acceptMs;
  while (!isDown()) {
    let connected = false;
    try {
      const value = await withConnection(
        address,
        async (connection) => {
          connected = true;
          return await work(connection);
        },
        { database: 'template1' },
      );
      return { value };
    } catch (error) {
      if (isDown()) return undefined;
      if (connected || performance.now() > giveUpAt) throw error;
      await sleep(pollMs);
    }
  }
  return undefined;
}

async function whyDown(server: PrivateServer): Promise<RecoveryEnd<never>> {
  const { exitCode, signal } = await server.running.ended;
  const log = await readLog(server);
  const fatal = lastFatal(log);
  const how = signal === undefined ? `with exit code ${exitCode ?? 'unknown'}` : `by ${signal}`;
  const last = log.at(-1) ?? 'it said nothing';
  return {
    is: 'down',
    said: fatal?.said ?? `PostgreSQL ended ${how}: ${last}`,
    hint: fatal?.hint,
    file: lastRestored(log),
  };
}

function lastRestored(log: readonly string[]): string | undefined {
  return log.flatMap((line) => /restored log file "([^"]+)" from archive/.exec(line)?.[1] ?? []).at(-1);
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw new Failure('machine', `${path} could not be looked at: ${errorCode(error) ?? String(error)}`, {
      cause: error,
    });
  }
}
