import { execa } from 'execa';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { SftpAccess } from '../../src/core/destination-access.ts';
import { readDestination, type SftpDestination } from '../../src/core/destination.ts';
import { parseSettings } from '../../src/core/settings.ts';
import { acceptsConnections } from './wait.ts';

/** A real OpenSSH server of a test, on loopback, that lets one user in for SFTP. */
export interface Sshd {
  readonly port: number;
  /** What its administrator would tell: the option `sftp-host-key`. */
  readonly hostKey: string;
  /** The option `sftp-private-key` that gets in. */
  readonly privateKey: string;
  /** A folder that the user may fill. */
  readonly folder: string;
  /** Where the lines of public keys lie that get in besides. */
  readonly authorizedKeys: string;
  /** A destination on it; with a port, through a proxy there. */
  destination(path: string, port?: number): SftpDestination;
  access(): SftpAccess;
  /** The options that name a folder of it and get in, in clear; with a port, through a proxy there. */
  options(path: string, port?: number): Readonly<Record<string, string>>;
  /** Makes a folder that was made on this machine the user's. */
  own(path: string): Promise<void>;
  /** Stops it with all its sessions; `resume` starts it again at the same port. */
  halt(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

const program = '/usr/sbin/sshd';

/** Starts one. It runs as PostgreSQL's user where the tests run as root, so that rights mean something. */
export async function startSshd(options: { readonly denied?: string } = {}): Promise<Sshd> {
  const root = await mkdtemp(join(tmpdir(), 'lb-sshd-'));
  const user = process.getuid?.() === 0 ? 'postgres' : (await execa('id', ['-un'])).stdout;
  const [host, client] = [newKey(), newKey()];
  const folder = join(root, 'folder');
  const authorizedKeys = join(root, 'authorized_keys');
  await mkdir(folder);
  await writeFile(join(root, 'host_key'), host.private, { mode: 0o600 });
  await writeFile(authorizedKeys, `${client.public}\n`);
  await chmod(root, 0o755);
  // What it says goes nowhere: sessions that outlive it would hold its pipes open.
  const command = [program, '-D', '-e', '-f', join(root, 'sshd_config')];
  const become = process.getuid?.() === 0 ? ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups'] : [];
  if (become.length > 0) await execa('chown', ['-R', `${user}:`, root]);
  const [first = program, ...rest] = [...become, ...command];
  const run = async (port: number) => {
    const server = execa(first, rest, { reject: false, stdio: 'ignore', cwd: '/', cleanup: true });
    const isUp = await Promise.race([acceptsConnections(port).then(() => true), server.then(() => false)]);
    return isUp ? { server } : undefined; // By itself it would be waited for.
  };
  const begin = async (attempt: number) => {
    const port = await freePort();
    await writeFile(join(root, 'sshd_config'), configuration(root, port, options.denied), { mode: 0o644 });
    const running = await run(port);
    if (running !== undefined) return { port, running };
    // Somebody on this busy machine has taken the port in between.
    if (attempt === 5) throw new Error(`${program} ends at once, five times, last at port ${port}`);
    return await begin(attempt + 1);
  };
  const { port, ...begun } = await begin(1);
  let running: typeof begun.running | undefined = begun.running;
  return {
    port,
    hostKey: host.public,
    privateKey: client.private,
    folder,
    authorizedKeys,
    destination: (path, through = port) => sftpDestination(`sftp://${user}@127.0.0.1:${through}${path}`),
    access: () => parseSettings({ 'sftp-host-key': host.public, 'sftp-private-key': client.private }).access.sftp,
    options: (path, through = port) => ({
      destination: sftpDestination(`sftp://${user}@127.0.0.1:${through}${path}`).url,
      'sftp-host-key': host.public,
      'sftp-private-key': client.private,
    }),
    own: async (path) => {
      await execa('chown', ['-R', `${user}:`, path]);
    },
    halt: async () => {
      const sessions = await processesBelow(running?.server.pid);
      running?.server.kill('SIGKILL');
      await running?.server;
      for (const each of sessions) killIfThere(each);
    },
    resume: async () => {
      running = await run(port);
      if (running === undefined) throw new Error(`${program} does not start again at port ${port}`);
    },
    stop: async () => {
      running?.server.kill('SIGTERM');
      await running?.server;
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** All that a process has started, and what that has. */
async function processesBelow(pid: number | undefined): Promise<readonly number[]> {
  if (pid === undefined) return [];
  const { stdout } = await execa('pgrep', ['-P', String(pid)], { reject: false });
  const children = stdout.split('\n').filter(Boolean).map(Number);
  const below = await Promise.all(children.map(processesBelow));
  return [...children, ...below.flat()];
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended with its parent.
  }
}

/** A new key pair in OpenSSH's format. */
export function newKey(): { readonly private: string; readonly public: string } {
  return ssh2.utils.generateKeyPairSync('ed25519');
}

function sftpDestination(url: string): SftpDestination {
  const read = readDestination(url);
  if (typeof read === 'string' || read.kind !== 'sftp') throw new Error(`${url}: ${JSON.stringify(read)}`);
  return read;
}

function configuration(root: string, port: number, denied: string | undefined): string {
  return [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(root, 'host_key')}`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    `AuthorizedKeysFile ${join(root, 'authorized_keys')}`,
    'MaxStartups 100',
    `ForceCommand internal-sftp${denied === undefined ? '' : ` -P ${denied}`}`,
    'Subsystem sftp internal-sftp',
    '',
  ].join('\n');
}

/** A port of loopback that nobody listens at. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
