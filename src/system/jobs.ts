import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, isFailure } from '../core/failure.ts';
import { forgottenJobs, isPending, judgeJob, type Job, type JobRequest, type JobRunning } from '../core/job.ts';
import { jobId } from '../core/journal-record.ts';
import type { Secret } from '../core/secret.ts';
import type { Clock } from './clock.ts';
import { randomName } from './files.ts';
import { makePrivateFolder } from './home.ts';
import { forgetJob, jobFolder, jobsFolder, listJobIds, sweepJobs } from './job-folder.ts';
import { takeLock, type Lock } from './lock.ts';

/** Runs of the command's verbs that outlive who started them. Everything here is root's. */
export interface Jobs {
  /**
   * Starts a run of a verb and gives back its id. With an id of the caller's it may be called twice: what was asked for once
   * is not started again, whatever has become of it. `input` is what the verb reads from its standard input; it lies in the
   * job's folder until somebody runs the job, or nobody will.
   *
   * Fails with `busy`, naming the job, while one of the same verb runs.
   */
  start(argv: readonly string[], options?: JobOptions): Promise<string>;
  /** A job as it is now; `undefined` when nobody knows its id. */
  look(id: string): Promise<Job | undefined>;
  /** All jobs that are not forgotten, the newest first. */
  list(): Promise<readonly Job[]>;
  /** Asks a job to end, waits for that, ends it by force where it takes too long, and says what became of it. */
  stop(id: string): Promise<Job | undefined>;
}

/** How a job is started. */
interface JobOptions {
  readonly id?: string;
  readonly input?: Secret | undefined;
}

/** How processes of jobs are started and asked for on a machine. */
export interface JobRunner {
  start(id: string): Promise<void>;
  isAlive(id: string, running: JobRunning | undefined): Promise<boolean>;
  /** Asks it to end, or ends it; returns at once. */
  stop(id: string, running: JobRunning | undefined, how: 'ask' | 'force'): Promise<void>;
}

/** How many jobs that have ended are remembered. */
const keptJobs = 20;
const pollMs = 250;

/** Makes the jobs of a home out of a way to run them. */
export function makeJobs(home: string, runner: JobRunner, clock: Clock, stopPatienceMs = 60_000): Jobs {
  const look = async (id: string): Promise<Job | undefined> => await lookAt(home, runner, clock, id);
  const list = async (): Promise<readonly Job[]> => await listAll(home, look);
  return {
    look,
    list,
    start: async (argv, { id, input } = {}) => {
      const [verb] = argv;
      if (verb === undefined) throw new Failure('internal', 'a job without a verb');
      const lock = await lockStarts(home);
      try {
        if (id !== undefined && (await jobFolder(home, id).readRequest()) !== undefined) return id;
        await sweepJobs(home);
        const jobs = await list();
        const other = jobs.find((job) => job.verb === verb && isPending(job));
        if (other !== undefined) throw busy(other);
        for (const old of forgottenJobs(jobs, keptJobs)) await forgetJob(home, old);
        const startedAt = clock.now();
        const request = {
          format: 1 as const,
          id: id ?? jobId(verb, startedAt, randomName(3)),
          argv: [...argv],
          startedAt,
        };
        return await begin(home, runner, request, input);
      } finally {
        await lock.release();
      }
    },
    stop: async (id) => {
      for (const how of ['ask', 'force'] as const) {
        const giveUpAt = performance.now() + stopPatienceMs;
        const job = await look(id);
        if (job === undefined || !isPending(job)) return job;
        await runner.stop(id, await jobFolder(home, id).readRunning(), how);
        while (performance.now() < giveUpAt && (await isStillPending(look, id))) await sleep(pollMs);
      }
      return await look(id);
    },
  };
}

async function begin(home: string, runner: JobRunner, request: JobRequest, input: Secret | undefined): Promise<string> {
  const { id } = request;
  const folder = jobFolder(home, id);
  if (input !== undefined) await folder.writeInput(input);
  await folder.writeRequest(request);
  try {
    await runner.start(id);
  } catch (error) {
    // It never ran, and the caller is told so: a job that nobody started is none.
    await forgetJob(home, id);
    throw error;
  }
  return id;
}

async function lookAt(home: string, runner: JobRunner, clock: Clock, id: string): Promise<Job | undefined> {
  const folder = jobFolder(home, id);
  const request = await folder.readRequest();
  if (request === undefined) return undefined;
  const running = await folder.readRunning();
  const before = await folder.readEnded();
  const isAlive = before === undefined && (await runner.isAlive(id, running));
  return judgeJob({
    request,
    isAlive,
    hasStarted: running !== undefined,
    progress: await folder.readStep(),
    // The end comes last and is read again: a job that ended while it was asked for is not lost.
    ended: before ?? (await folder.readEnded()),
    result: (await folder.readResult()) ?? undefined,
    now: clock.now(),
  });
}

async function listAll(home: string, look: Jobs['look']): Promise<readonly Job[]> {
  const jobs: Job[] = [];
  for (const id of await listJobIds(home)) {
    try {
      const job = await look(id);
      if (job !== undefined) jobs.push(job);
      // Killed before it could take what it was given: nobody will.
      if (job !== undefined && !isPending(job)) await jobFolder(home, id).forgetInput();
    } catch (error) {
      // One that can't be read hides no other; who asks for it by its id is told.
      if (!isFailure(error, 'damaged')) throw error;
    }
  }
  return jobs.toSorted((a, b) => b.startedAt.getTime() - a.startedAt.getTime() || (a.id < b.id ? 1 : -1));
}

async function isStillPending(look: Jobs['look'], id: string): Promise<boolean> {
  const job = await look(id);
  return job !== undefined && isPending(job);
}

function busy({ id, verb }: Job): Failure {
  return new Failure('busy', `a job of ${verb} is already running: ${id}`, {
    hint: 'Wait for it to end, then try again.',
  });
}

/** One start at a time: two that look at once would both find nobody running. */
async function lockStarts(home: string): Promise<Lock> {
  await makePrivateFolder(jobsFolder(home));
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await takeLock(`${jobsFolder(home)}/.start.lock`, 'the start of a job');
    } catch (error) {
      if (!isFailure(error, 'busy') || attempt >= 40) throw error;
      await sleep(pollMs);
    }
  }
}
