import { spawn } from 'node:child_process';

/** How a program is run on a machine. */
interface ExecuteOptions {
  /** All of its environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly timeout?: number;
  /**
   * Ends it with SIGKILL. The reason `abort` means this one process only, as Juju cancels an action; `agent` means all that it
   * started, as systemd does when the agent stops.
   */
  readonly signal?: AbortSignal;
}

export interface Executed {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program, whose input is /dev/null, on one machine; rejects only where it could not be started. */
export type Execute = (argv: readonly string[], options: ExecuteOptions) => Promise<Executed>;

/** How long Juju reads on after a program has ended: what still holds the pipe then writes into nothing. */
const pipeWaitMs = 100;

/** Runs programs on this machine, as they are. */
export const executeHere: Execute = async ([program = '', ...args], { env, cwd, timeout, signal }) =>
  await new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
    const killTree = () => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    };
    const stop = () => (signal?.reason === 'abort' ? child.kill('SIGKILL') : killTree());
    signal?.addEventListener('abort', stop, { once: true });
    const timer = timeout === undefined ? undefined : setTimeout(killTree, timeout);
    child.on('error', reject);
    child.on('exit', (exitCode, ended) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      const said = () => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({
          exitCode,
          signal: ended,
          stdout: Buffer.concat(stdout).toString(),
          stderr: Buffer.concat(stderr).toString(),
        });
      };
      const late = setTimeout(said, pipeWaitMs);
      child.on('close', () => {
        clearTimeout(late);
        said();
      });
    });
  });
