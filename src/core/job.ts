import * as z from 'zod';
import { instantSchema } from './backup.ts';
import { exitCodes, type FailureKind } from './failure.ts';

/** A job's id is a folder's name and the instance of a systemd unit. */
export const jobIdPattern = /^[a-z][A-Za-z0-9-]{0,99}$/;

/** `request.json`: what is to be run; durable before anything is started. */
export const jobRequestSchema = z.object({
  format: z.literal(1),
  id: z.string().regex(jobIdPattern),
  /** A verb of the command and its arguments. No secret: argument lists are seen by everybody on a machine. */
  argv: z.array(z.string()).min(1),
  startedAt: instantSchema,
});
export type JobRequest = z.infer<typeof jobRequestSchema>;

/** One process, told from a later one with the same number by when it started. */
const processMarkSchema = z.object({ pid: z.number().int().positive(), startTime: z.string() });
export type ProcessMark = z.infer<typeof processMarkSchema>;

/** `running.json`: who does it. */
export const jobRunningSchema = z.object({
  format: z.literal(1),
  runner: processMarkSchema,
  /** The verb's own process; null before it has started. */
  verb: processMarkSchema.nullable(),
});
export type JobRunning = z.infer<typeof jobRunningSchema>;

/** `progress.json`: the last step that the verb told. */
export const jobStepSchema = z.object({
  at: instantSchema,
  phase: z.string(),
  bytes: z.number().optional(),
  estimatedBytes: z.number().optional(),
  bytesPerSecond: z.number().nullish(),
  secondsLeft: z.number().nullish(),
  note: z.string().optional(),
});
export type JobStep = z.infer<typeof jobStepSchema>;

const failureKindSchema = z.custom<FailureKind>((kind) => typeof kind === 'string' && Object.hasOwn(exitCodes, kind));

/** Why a job failed, as the verb said it. */
export const jobFailureSchema = z.object({
  kind: failureKindSchema,
  message: z.string(),
  hint: z.string().nullable(),
});
export type JobFailure = z.infer<typeof jobFailureSchema>;

/** `ended.json`: the last thing that is written. Without it a job has not ended, whatever else is there. */
export const jobEndedSchema = z.object({
  format: z.literal(1),
  endedAt: instantSchema,
  exitCode: z.number().int(),
  failure: jobFailureSchema.nullable(),
});
export type JobEnded = z.infer<typeof jobEndedSchema>;

/** `lost`: its process has gone, and it has not said how it ended. */
type JobState = 'queued' | 'running' | 'succeeded' | 'failed' | 'lost';

/** A job as it is now. */
export interface Job {
  readonly id: string;
  /** The verb of the command that it runs: `backup`. */
  readonly verb: string;
  readonly argv: readonly string[];
  readonly startedAt: Date;
  readonly state: JobState;
  /** The last step that it told. */
  readonly progress: JobStep | undefined;
  /** What the verb printed as JSON, once it has ended. */
  readonly result: unknown;
  readonly endedAt: Date | undefined;
  readonly exitCode: number | undefined;
  readonly failure: JobFailure | undefined;
}

/** What a job that died without a word is told to have failed with. */
const lostFailure: JobFailure = {
  kind: 'machine',
  message: 'the job ended without saying how (killed, or a power cut)',
  hint: 'What it did by then is as safe as after any interruption: look at landscape-backup status, then start it again.',
};

/** How long after its request a job may take to show a first sign of life. */
const startMilliseconds = 30_000;

/** What is known of a job. `isAlive`: its process, or its systemd unit, is there; asked before `ended` was read. */
export interface JobFacts {
  readonly request: JobRequest;
  readonly isAlive: boolean;
  /** `running.json` is there: it has started once. */
  readonly hasStarted: boolean;
  readonly progress: JobStep | undefined;
  readonly result: unknown;
  readonly ended: JobEnded | undefined;
  readonly now: Date;
}

/** Says what a job is. The end counts before all else, a process that is there before what seems late. */
export function judgeJob(facts: JobFacts): Job {
  const { request, progress, result, ended } = facts;
  const [verb = ''] = request.argv;
  const state = stateOf(facts);
  return {
    id: request.id,
    verb,
    argv: request.argv,
    startedAt: request.startedAt,
    state,
    progress,
    result,
    endedAt: ended?.endedAt,
    exitCode: ended?.exitCode,
    failure: state === 'lost' ? lostFailure : (ended?.failure ?? undefined),
  };
}

function stateOf({ request, isAlive, hasStarted, ended, now }: JobFacts): JobState {
  if (ended !== undefined) return ended.exitCode === 0 ? 'succeeded' : 'failed';
  if (isAlive) return hasStarted ? 'running' : 'queued';
  // A clock that was set back would keep a job that never started queued for ever.
  const age = Math.abs(now.getTime() - request.startedAt.getTime());
  return !hasStarted && age < startMilliseconds ? 'queued' : 'lost';
}

/** Tells whether a job is still to end. */
export function isPending({ state }: Pick<Job, 'state'>): boolean {
  return state === 'queued' || state === 'running';
}

/** The ids of ended jobs that are forgotten: all but the newest. */
export function forgottenJobs(jobs: readonly Job[], keep: number): readonly string[] {
  return jobs
    .filter((job) => !isPending(job))
    .toSorted((a, b) => b.startedAt.getTime() - a.startedAt.getTime() || (a.id < b.id ? 1 : -1))
    .slice(keep)
    .map(({ id }) => id);
}
