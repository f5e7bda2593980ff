import { constants } from 'node:os';
import * as z from 'zod';
import { exitCodes, Failure } from '../core/failure.ts';
import { jobFailureSchema, type JobEnded, type JobFailure, type JobRequest } from '../core/job.ts';
import type { Secret } from '../core/secret.ts';
import type { Clock } from './clock.ts';
import { jobFolder, type JobFolder } from './job-folder.ts';
import { readSteps, stepKeeper } from './job-steps.ts';
import { isRunning, markOf } from './process-mark.ts';
import { start, type Running } from './process.ts';

/** What a run of a job starts from. */
export interface JobRunContext {
  readonly home: string;
  /** How the command is called. */
  readonly program: readonly string[];
  readonly clock: Clock;
  /** Passed on to the verb, which ends in good order. */
  readonly signal: AbortSignal;
  /** Where the verb's other words go. */
  readonly say: (line: string) => void;
}

/**
 * Runs the verb of a job as a process of its own and keeps what it tells: its last step, its result, and last of all how it
 * ended. Killed at any instant it leaves a job that is told as lost; the verb ends with it.
 *
 * A job runs once: one that has run before is `refused`, whatever became of it.
 */
export async function runJob(context: JobRunContext, id: string): Promise<JobEnded> {
  const folder = jobFolder(context.home, id);
  const request = await folder.readRequest();
  if (request === undefined) throw new Failure('missing', `there is no job ${id} in ${context.home}`);
  await refuseSecondRun(folder, id);
  const runner = await markOf(process.pid);
  if (runner === undefined) throw new Failure('machine', '/proc does not tell about this process');
  await folder.writeRunning({ format: 1, runner, verb: null });
  const verb = startVerb(context, request, await folder.takeInput());
  const keeper = stepKeeper(folder);
  // Before anything is awaited: what nobody reads yet is thrown away.
  const heard = Promise.all([
    readAll(verb),
    readLines(verb, context, (step) => {
      keeper.keep(step);
    }),
    verb.ended,
  ]);
  heard.catch(() => undefined); // Awaited below; what fails before comes first.
  const passOn = () => {
    verb.kill('SIGTERM');
  };
  context.signal.addEventListener('abort', passOn);
  if (context.signal.aborted) passOn();
  await folder.writeRunning({ format: 1, runner, verb: (await markOf(verb.pid)) ?? null });
  const [stdout, lines, { exitCode, signal }] = await heard;
  await keeper.close();
  context.signal.removeEventListener('abort', passOn);
  return await end(folder, context.clock, { verb: request.argv[0] ?? '', exitCode, signal, stdout, lines });
}

async function refuseSecondRun(folder: JobFolder, id: string): Promise<void> {
  const running = await folder.readRunning();
  if ((await folder.readEnded()) === undefined && running === undefined) return;
  const isAlive = running !== undefined && (await isRunning(running.runner));
  throw new Failure(isAlive ? 'busy' : 'refused', `the job ${id} ${isAlive ? 'is running' : 'has been run before'}`, {
    hint: 'Each job runs once: ask for a new one.',
  });
}

function startVerb({ home, program }: JobRunContext, { argv }: JobRequest, input: Secret | undefined): Running {
  const [name = '', ...rest] = argv;
  // With the death signal a runner that is killed outright takes its verb along, as systemd would; there is one job, not two.
  const args = ['--pdeathsig', 'TERM', '--', ...program, name, '--home', home, '--format', 'both', ...rest];
  const given = input === undefined ? {} : { input: input.reveal() };
  return start('setpriv', args, { streamErrors: true, cwd: '/', ...given });
}

const resultLimit = 16 * 1024 * 1024;

async function readAll({ stdout }: Running): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdout ?? []) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.byteLength;
    if (size <= resultLimit) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function readLines(
  { stderr }: Running,
  { clock, say }: JobRunContext,
  step: Parameters<typeof readSteps>[2]['step'],
): Promise<readonly string[]> {
  return stderr === undefined ? [] : await readSteps(stderr, () => clock.now(), { step, line: say });
}

interface VerbEnd {
  readonly verb: string;
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly lines: readonly string[];
}

async function end(folder: JobFolder, clock: Clock, ending: VerbEnd): Promise<JobEnded> {
  const said = parse(ending.stdout);
  const error = z.object({ error: jobFailureSchema }).safeParse(said).data?.error;
  const exitCode = ending.exitCode ?? 128 + signalNumber(ending.signal);
  let failure = exitCode === 0 ? null : (error ?? failureOf(ending, said !== undefined));
  let code = exitCode;
  if (said !== undefined && error === undefined) {
    try {
      await folder.writeResult(said);
    } catch (problem) {
      // The verb did its work; what it told is lost, and that is said instead.
      code = exitCode === 0 ? exitCodes.machine : exitCode;
      failure ??= {
        kind: 'machine',
        message: `${ending.verb} has ended, but its result could not be kept: ${problem instanceof Error ? problem.message : String(problem)}`,
        hint: 'Make room, then ask landscape-backup status what is there.',
      };
    }
  }
  const ended: JobEnded = { format: 1, endedAt: clock.now(), exitCode: code, failure };
  await folder.writeEnded(ended);
  return ended;
}

/** What the verb printed as JSON; `undefined` when it printed none, or only a part before it died. */
function parse(stdout: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch {
    return undefined;
  }
}

function signalNumber(name: string | undefined): number {
  return Object.entries(constants.signals).find(([known]) => known === name)?.[1] ?? 1;
}

/** Null where the verb did its work and told in its result what is bad (`check`, `status`). */
function failureOf({ verb, exitCode, signal, lines }: VerbEnd, hasResult: boolean): JobFailure | null {
  if (signal !== undefined) {
    return {
      kind: 'machine',
      message: `${verb} was ended by ${signal}`,
      hint: 'Look at the journal of the machine (out of memory?), then at landscape-backup status.',
    };
  }
  if (hasResult) return null;
  const last = lines.join(' ').trim();
  return {
    kind: 'internal',
    message: `${verb} ended with exit code ${exitCode ?? '?'} and told no result${last === '' ? '' : `: ${last}`}`,
    hint: 'This is a fault in landscape-backup: please report it with the log of the job.',
  };
}
