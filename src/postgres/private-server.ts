import { mkdir, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { errorCode, writeAtomically } from '../system/files.ts';
import { start, type Running } from '../system/process.ts';
import type { Cluster } from './cluster.ts';
import type { Address } from './query.ts';

/** A server that only this user can reach, in a folder of ours. */
export interface PrivateServer {
  readonly address: Address;
  readonly running: Running;
  readonly logFile: string;
  /** How long its log was when it was started: what it says itself comes after that. */
  readonly logFrom: number;
}

/** Linux: the longest path of a socket. */
const longestSocket = 107;

/**
 * Starts a server on a cluster's data directory as our own child, out of reach for everybody else: private socket, own
 * `pg_hba.conf`, no TCP, no archiving, its log in a file of ours. `options` come last.
 */
export async function startPrivateServer(
  cluster: Cluster,
  folder: string,
  options: readonly (readonly [name: string, value: string])[],
): Promise<PrivateServer> {
  const socketDirectory = join(folder, 'socket');
  const address: Address = { socketDirectory, port: cluster.port };
  if (Buffer.byteLength(`${socketDirectory}/.s.PGSQL.${cluster.port}`) > longestSocket) {
    throw new Failure('machine', `the path ${socketDirectory} is too long for a socket`, {
      hint: 'Keep landscape-backup at home in a shorter path: --home.',
    });
  }
  await mkdir(socketDirectory, { mode: 0o700, recursive: true });
  const hba = join(folder, 'pg_hba.conf');
  await writeAtomically(hba, 'local all all peer\n');
  const logFile = join(folder, 'recovery.log');
  const logFrom = await lengthOf(logFile);
  const settings: readonly (readonly [string, string])[] = [
    ['config_file', join(cluster.configDirectory, 'postgresql.conf')],
    ['data_directory', cluster.dataDirectory],
    ['hba_file', hba],
    ['external_pid_file', ''],
    ['unix_socket_directories', socketDirectory],
    ['listen_addresses', ''],
    ['port', String(cluster.port)],
    ['ssl', 'off'],
    ['logging_collector', 'off'],
    ['log_destination', 'stderr'],
    ['log_min_messages', 'log'],
    ['log_line_prefix', '%m '],
    ['lc_messages', 'C'],
    // Verifiers of passwords pass through statements.
    ['log_statement', 'none'],
    ['log_min_duration_statement', '-1'],
    ['log_min_error_statement', 'panic'],
    ...options,
  ];
  const args = settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const running = start(join(cluster.binaries, 'postgres'), ['-D', cluster.dataDirectory, ...args], {
    logFile,
    cwd: '/',
  });
  return { address, running, logFile, logFrom };
}

/** The lines of a server's log since it was started, as far as the last 64 KiB reach. */
export async function readLog({
  logFile,
  logFrom,
}: Pick<PrivateServer, 'logFile' | 'logFrom'>): Promise<readonly string[]> {
  const length = await lengthOf(logFile);
  const from = Math.max(logFrom, length - 65_536);
  if (length <= from) return [];
  const handle = await open(logFile, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length - from), 0, length - from, from);
    return buffer.toString('utf8', 0, bytesRead).split('\n').filter(Boolean);
  } finally {
    await handle.close();
  }
}

/** Why a server went down, in its own words: the last `FATAL` or `PANIC` that is more than an echo, and its hint. */
export function lastFatal(
  log: readonly string[],
): { readonly said: string; readonly hint: string | undefined } | undefined {
  const fatal = /\b(?:FATAL|PANIC): {2}(.*)$/;
  const at = log.findLastIndex((line) => fatal.test(line) && !line.includes('the database system is'));
  const said = fatal.exec(log[at] ?? '')?.[1];
  if (said === undefined) return undefined;
  const hint = log.slice(at + 1, at + 4).flatMap((line) => /\bHINT: {2}(.*)$/.exec(line)?.[1] ?? [])[0];
  return { said, hint };
}

async function lengthOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 0;
    throw new Failure('machine', `${path} could not be looked at: ${errorCode(error) ?? String(error)}`, {
      cause: error,
    });
  }
}
