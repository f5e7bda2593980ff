import { execa, getOneMessage, sendMessage, type Message, type Options } from 'execa';
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Readable } from 'node:stream';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';

/** How a program is run. Arguments are a list and never pass a shell. */
export interface RunOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  readonly cwd?: string;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** The whole environment, in place of this process's. */
  readonly onlyEnv?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Exit codes that are an answer and not a failure; 0 always is one. */
  readonly answers?: readonly number[];
}

/** What a program said. Output beyond 16 MiB is cut: no program that we ask for text says more. */
export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const outputLimit = 16 * 1024 * 1024;
const defaultTimeoutMs = 60_000;

/**
 * Runs a program to its end and gives back what it said.
 *
 * Any other end than an exit code in `answers` is a `machine` failure with the last lines of its stderr: a program that is
 * missing, a signal, the timeout (60 s unless given).
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const result = await execa(command, args, {
    ...execaOptions(options),
    timeout: options.timeoutMs ?? defaultTimeoutMs,
    maxBuffer: outputLimit,
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
  });
  const exitCode = result.exitCode;
  if (exitCode !== undefined && (exitCode === 0 || (options.answers ?? []).includes(exitCode))) {
    return { exitCode, stdout: result.stdout, stderr: result.stderr };
  }
  throw ended(command, result);
}

/** A program that goes on while we do other things. */
export interface Running {
  readonly pid: number;
  /** Its output, when it was asked for as a stream. */
  readonly stdout: Readable | undefined;
  /** What it says besides, when `streamErrors` asked for it; then `ended` tells no stderr. */
  readonly stderr: Readable | undefined;
  /** Resolves when it has ended, never rejects. */
  readonly ended: Promise<{
    readonly exitCode: number | undefined;
    readonly signal: string | undefined;
    readonly stderr: string;
  }>;
  kill(signal: NodeJS.Signals): void;
  /** Closes its input, where `keepInput` kept it open. */
  closeInput(): void;
}

/** How a program is started: with `keepInput` its stdin is a pipe that closes when this process ends. */
export interface StartOptions extends RunOptions {
  readonly logFile?: string;
  readonly keepInput?: boolean;
  /** Its stderr is read by the caller, however long it is. */
  readonly streamErrors?: boolean;
}

/**
 * Starts a program and gives back a handle. Its stdout is a stream, or goes to the file `logFile` together with stderr.
 */
export function start(command: string, args: readonly string[], options: StartOptions = {}): Running {
  const { logFile } = options;
  const toLog = logFile === undefined ? undefined : { file: logFile, append: true };
  const child = execa(command, args, {
    ...execaOptions(options),
    ...inputOf(options),
    buffer: { stdout: false, stderr: toLog === undefined && options.streamErrors !== true },
    maxBuffer: outputLimit,
    ...(toLog === undefined ? {} : { stdout: toLog, stderr: toLog }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
  });
  const { pid } = child;
  if (pid === undefined) {
    child.catch(() => undefined); // The reason is in the failure below; a second report would be an unhandled one.
    throw new Failure('machine', `${command} could not be started`, {
      hint: `Is ${command} installed and executable?`,
    });
  }
  return {
    pid,
    stdout: child.stdout ?? undefined,
    stderr: options.streamErrors === true ? (child.stderr ?? undefined) : undefined,
    ended: child.then((result) => ({
      exitCode: result.exitCode,
      signal: result.signal,
      stderr: typeof result.stderr === 'string' ? result.stderr : '',
    })),
    kill: (signal) => {
      child.kill(signal);
    },
    closeInput: () => {
      child.stdin?.end();
    },
  };
}

function inputOf({ input, keepInput }: StartOptions) {
  if (input !== undefined) return { input };
  return { stdin: keepInput === true ? ('pipe' as const) : ('ignore' as const) };
}

/**
 * Asks a program of ours one thing: gives back the first line that it prints, and ends it. `undefined` when it ended without
 * one, or told none in this time. What can't be ended, because it waits for a file system that doesn't answer, is left behind.
 */
export async function askFirstLine(
  command: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<string | undefined> {
  const child = spawn(command, [...args], { cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
  child.on('error', () => undefined); // Its output ends without a line, which is the answer.
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => {
      resolve(undefined);
    }, timeoutMs);
  });
  try {
    return await Promise.race([firstLine(child.stdout), late]);
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
    child.stdout.destroy();
    child.unref();
  }
}

async function firstLine(stream: Readable): Promise<string | undefined> {
  let text = '';
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      text += String(chunk);
      const end = text.indexOf('\n');
      if (end >= 0) return text.slice(0, end);
      if (text.length > outputLimit) break;
    }
  } catch {
    // It was destroyed by who waits no longer.
  }
  return undefined;
}

/**
 * Starts a program that outlives this one, in a session of its own, and gives back its process id. What it says goes to a
 * file; nobody waits for it.
 */
export function startDetached(
  command: string,
  args: readonly string[],
  options: Pick<StartOptions, 'onlyEnv'> & { readonly logFile: string },
): number {
  // Not execa's: it would carry the output through this process, which is about to end.
  const log = openSync(options.logFile, 'a', 0o600);
  try {
    const child = spawn(command, [...args], {
      detached: true,
      cwd: '/',
      stdio: ['ignore', log, log],
      ...(options.onlyEnv === undefined ? {} : { env: { ...options.onlyEnv } }),
    });
    child.on('error', () => undefined); // It has no process id then, which is told below.
    child.unref();
    if (child.pid !== undefined) return child.pid;
  } finally {
    closeSync(log);
  }
  throw new Failure('machine', `${command} could not be started`, { hint: `Is ${command} installed and executable?` });
}

function execaOptions(options: RunOptions) {
  return {
    reject: false,
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.onlyEnv === undefined ? {} : { env: options.onlyEnv, extendEnv: false }),
  } satisfies Options;
}

interface Ending {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly timedOut: boolean;
  readonly isCanceled: boolean;
  readonly stderr?: unknown;
  readonly cause?: unknown;
}

function ended(command: string, result: Ending): Failure {
  const said = typeof result.stderr === 'string' ? result.stderr.trim().split('\n').slice(-5).join('\n') : '';
  let how: string;
  if (result.timedOut) how = 'took too long and was stopped';
  else if (result.isCanceled) how = 'was stopped';
  else if (result.signal !== undefined) how = `was ended by ${result.signal}`;
  else if (result.exitCode !== undefined) how = `ended with exit code ${result.exitCode}`;
  else how = 'could not be started';
  return new Failure('machine', `${command} ${how}${said === '' ? '' : `: ${said}`}`, { cause: result.cause });
}

/**
 * Runs a program of ours on this terminal and answers its requests until it ends; gives back its exit code.
 *
 * `answer` gets each message that `askParent` sent; what it throws is told to the program and is its failure, not ours. Its
 * standard input is ours, or what `input` tells.
 */
export async function serve(
  command: string,
  args: readonly string[],
  answer: (request: unknown) => Promise<void>,
  input?: Readable,
): Promise<number> {
  // The terminal sends Ctrl-C to both; what it means is decided by the program, and this process waits for it.
  const ignore = () => undefined;
  const passOn = (signal: NodeJS.Signals) => {
    child.kill(signal);
  };
  // Listened to before there is a program: who is told to end in between must not end without it.
  process.on('SIGINT', ignore);
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, passOn);
  const child = execa(command, args, {
    stdin: input ?? 'inherit',
    stdout: 'inherit',
    stderr: 'inherit',
    ipc: true,
    serialization: 'json',
    reject: false,
    buffer: false,
  });
  try {
    for await (const request of child.getEachMessage()) {
      const failed = await answer(request).then(
        () => null,
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      await child.sendMessage({ failed });
    }
    const { exitCode } = await child;
    return exitCode ?? 1;
  } finally {
    process.off('SIGINT', ignore);
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.off(signal, passOn);
  }
}

/** Tells whether this process was started by `serve`. */
export function hasParent(): boolean {
  return process.connected;
}

const answerSchema = z.object({ failed: z.string().nullable() });
const answerTimeoutMs = 2 * 60 * 60 * 1000;

/** Asks the process that started this one with `serve` to do something, and waits until it is done. */
export async function askParent(request: Message<'json'>): Promise<void> {
  const answered = getOneMessage({ reference: true });
  await sendMessage(request);
  const answer = await Promise.race([answered, timeout(answerTimeoutMs)]);
  const parsed = answerSchema.safeParse(answer);
  const failed = parsed.success ? parsed.data.failed : 'the process that started this one gave no answer';
  if (failed !== null) throw new Failure('machine', failed);
}

async function timeout(milliseconds: number): Promise<undefined> {
  return await new Promise((resolve) => {
    setTimeout(() => {
      resolve(undefined);
    }, milliseconds).unref();
  });
}
