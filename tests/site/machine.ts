import { join } from 'node:path';
import { programBytes } from '../setup/program-bytes.ts';
import { executeIn, hold, type Ended, type ExecuteOptions, type Holder } from './process.ts';

/**
 * A simulated machine: a Linux system of its own, made of namespaces over the host's installed packages. What runs in it
 * sees its own files, processes, users, host name and `systemctl`; the network is the host's.
 */
export interface SiteMachine {
  readonly name: string;
  /** A loopback address that no other machine has; `/etc/hosts` gives it the machine's name. */
  readonly address: string;
  /** Runs a program to its end, however that is. As root with a clean environment, unless the options say else. */
  execute(argv: readonly [string, ...string[]], options?: ExecuteOptions): Promise<Ended>;
  /** Runs a program that must succeed and gives back its standard output without the last newline. */
  run(argv: readonly [string, ...string[]], options?: ExecuteOptions): Promise<string>;
  read(path: string): Promise<string>;
  /** Writes a file, makes its directories, and gives it to `owner` (`user` or `user:group`). */
  write(path: string, text: string | Uint8Array, options?: WriteOptions): Promise<void>;
  /** Copies a file or directory of the host to a path of the machine, owned by root. */
  copyIn(hostPath: string, path: string): Promise<void>;
  /** All processes die at once; the disk stays. */
  powerCut(): Promise<void>;
  /** Starts the machine that is down, and what systemd would start. */
  boot(): Promise<void>;
  /** Runs the service of an active timer once, to its end; time by itself starts nothing. */
  fireTimer(name: string): Promise<void>;
  /** Takes the machine away with all that it was. */
  destroy(): Promise<void>;
}

interface WriteOptions {
  readonly mode?: number;
  readonly owner?: string;
}

export interface SiteMachineOptions {
  readonly name: string;
  /** Directories of the host that the machine mounts, by their path in the machine. Machines may share one. */
  readonly shared?: Readonly<Record<string, string>>;
}

const programs = join(import.meta.dirname, 'programs');
/** Where a machine's disk is mounted while it is put together, in a namespace of its own: an empty directory of Debian's. */
const place = '/media';

/** Makes a machine and boots it. It can not outlive this process. */
export async function makeSiteMachine(options: SiteMachineOptions): Promise<SiteMachine> {
  if (process.getuid?.() !== 0) {
    throw new Error(`only root can make the simulated machine ${options.name}: run these tests as root`);
  }
  const ownMounts = ['unshare', '--mount', '--propagation', 'private', '--'];
  const disk = await hold([...ownMounts, 'sh', join(programs, 'disk'), place, options.name]);
  const address = addressOf(disk.pid);
  let first = await start(options, disk, address);
  let isUp = true;

  const execute: SiteMachine['execute'] = async (argv, given) => {
    if (!isUp) throw new Error(`the machine ${options.name} is down: nothing can run ${argv.join(' ')}`);
    return await executeIn(first.pid, argv, given);
  };
  const run: SiteMachine['run'] = async (argv, given) => {
    const { exitCode, stdout, stderr } = await execute(argv, given);
    if (exitCode === 0) return stdout.replace(/\n$/, '');
    throw new Error(`${argv.join(' ')} on ${options.name} ended with ${exitCode}: ${stdout}\n${stderr}`);
  };
  const powerCut = async () => {
    if (!isUp) return;
    isUp = false;
    process.kill(first.pid, 'SIGKILL');
    await first.gone;
  };

  await run(['systemctl', 'site-boot']);
  return {
    name: options.name,
    address,
    execute,
    run,
    read: async (path) => {
      const { exitCode, stdout, stderr } = await execute(['cat', '--', path]);
      if (exitCode === 0) return stdout;
      throw new Error(`${path} on ${options.name} can not be read: ${stderr}`);
    },
    write: async (path, text, { mode = 0o644, owner = 'root:root' } = {}) => {
      const script = 'mkdir -p -- "$(dirname -- "$1")" && cat >"$1" && chown -- "$3" "$1" && chmod -- "$2" "$1"';
      await run(['sh', '-c', script, 'write', path, mode.toString(8), owner], { input: text });
    },
    copyIn: async (hostPath, path) => {
      await run(['mkdir', '-p', '--', path]);
      // Through the machine's own view of the path: a link on the way there must not lead to the host's files.
      const tar = ['--create', '--directory', hostPath, '--owner=root', '--group=root', '.'];
      await run(['tar', '--extract', '--directory', path], { input: await programBytes('tar', tar) });
    },
    powerCut,
    boot: async () => {
      if (isUp) throw new Error(`the machine ${options.name} runs already`);
      first = await start(options, disk, address);
      isUp = true;
      await run(['systemctl', 'site-boot'], { timeoutMs: 600_000 });
    },
    fireTimer: async (name) => {
      await run(['systemctl', 'site-fire', `${name}.timer`], { timeoutMs: 600_000 });
    },
    destroy: async () => {
      await powerCut();
      disk.release();
      await disk.gone;
    },
  };
}

/** Starts process 1 of a machine that is down. */
async function start({ name, shared = {} }: SiteMachineOptions, disk: Holder, address: string): Promise<Holder> {
  const unshare = ['unshare', '--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child=KILL'];
  const directories = Object.entries(shared).map(([path, hostPath]) => `${hostPath}=${path}`);
  const boot = ['sh', join(programs, 'boot'), place, name, programs, ...directories];
  const env = { SITE_ADDRESS: address, SITE_DISK: String(disk.pid) };
  const onDisk = ['nsenter', '--target', String(disk.pid), '--mount', '--'];
  return await hold(['setpriv', '--pdeathsig=KILL', '--', ...onDisk, ...unshare, '--', ...boot], env);
}

/** One address for each process that may hold a disk: process ids are below 2^22. */
function addressOf(pid: number): string {
  return `127.${64 + ((pid >> 16) & 63)}.${(pid >> 8) & 255}.${pid & 255}`;
}
