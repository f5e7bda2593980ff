import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** What became of a program, and the most memory that it has had resident, in bytes. */
export interface Peaked {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly mostBytes: number;
}

/** Runs a program and looks twenty times a second at what the kernel says of its memory; its children do not count. */
export async function runForPeak(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Peaked> {
  const running = execa(program, args, { env, cwd: '/', reject: false });
  let mostBytes = 0;
  for (let bytes: number | undefined = 1; bytes !== undefined; bytes = await residentPeak(running.pid ?? 0)) {
    mostBytes = Math.max(mostBytes, bytes);
    await sleep(50);
  }
  const { exitCode, stdout, stderr } = await running;
  return { exitCode, stdout, stderr, mostBytes };
}

/** The most memory that a process has had resident so far, in bytes; `undefined` when it has ended. */
export async function residentPeak(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}
