import { execa } from 'execa';
import { createInterface } from 'node:readline';

/** How a program in a machine ended. */
export interface Ended {
  /** What the shell would say: 128 and the signal for one that was killed. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a program is given; nothing of the test's own environment reaches it. */
export interface ExecuteOptions {
  /** Beside PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** Killed after that; a minute unless it is said. */
  readonly timeoutMs?: number;
  /** As whom, by the machine's own user database; root unless it is said. */
  readonly user?: string;
}

/** What systemd gives its services. */
const machinePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin';
const outputLimit = 16 * 1024 * 1024;

/** The namespaces that a machine's processes share, as nsenter's options. */
const namespaces = ['--mount', '--uts', '--ipc', '--pid'];

/** Runs a program inside the namespaces of a process, and waits until it has ended and closed its output. */
export async function executeIn(
  pid: number,
  argv: readonly [string, ...string[]],
  { env = {}, cwd = '/', input = '', timeoutMs = 60_000, user = 'root' }: ExecuteOptions = {},
): Promise<Ended> {
  const become = user === 'root' ? [] : [`--reuid=${user}`, `--regid=${user}`, '--init-groups'];
  // The last one standing: nsenter waits outside, and what it started shall not outlive it.
  const program = ['setpriv', '--pdeathsig=KILL', ...become, '--', 'env', `--chdir=${cwd}`, '--', ...argv];
  const result = await execa('nsenter', ['--target', String(pid), ...namespaces, '--', ...program], {
    env: { PATH: machinePath, ...env },
    extendEnv: false,
    cwd: '/',
    input,
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: outputLimit,
    stripFinalNewline: false,
    reject: false,
  });
  const { exitCode, stdout, stderr } = result;
  if (result.timedOut) throw new Error(`${argv.join(' ')} did not end within ${timeoutMs} ms: ${stdout}\n${stderr}`);
  if (result.isMaxBuffer) throw new Error(`${argv.join(' ')} wrote more than ${outputLimit} bytes`);
  return { exitCode: exitCode ?? 137, stdout, stderr };
}

/** A process that holds something for as long as this test process lives. */
export interface Holder {
  /** What it is outside its namespaces. */
  readonly pid: number;
  /** Settles when the process has gone. */
  readonly gone: Promise<void>;
  /** Ends its standard input, which tells it to go. */
  release(): void;
}

/** Starts a program that says `ready <process id>` when it holds what it shall. Its standard input ends with this process. */
export async function hold(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Holder> {
  const [command = '', ...args] = argv;
  const child = execa(command, args, {
    env: { PATH: machinePath, ...env },
    extendEnv: false,
    cwd: '/',
    stdin: 'pipe',
    reject: false,
    maxBuffer: outputLimit,
  });
  const gone = child.then(() => undefined);
  const ready = new Promise<number>((found) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, pid] = /^ready (\d+)$/.exec(line) ?? [];
      if (pid !== undefined) found(Number(pid));
    });
  });
  const failed = child.then(({ exitCode, stderr }) => {
    throw new Error(`${argv.join(' ')} ended with ${exitCode ?? 'a signal'}: ${stderr}`);
  });
  const pid = await Promise.race([ready, failed]);
  failed.catch(() => undefined);
  return {
    pid,
    gone,
    release: () => {
      child.stdin.end();
    },
  };
}
