import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import {
  jobEndedSchema,
  jobIdPattern,
  jobRequestSchema,
  jobRunningSchema,
  jobStepSchema,
  type JobEnded,
  type JobRequest,
  type JobRunning,
  type JobStep,
} from '../core/job.ts';
import { Failure } from '../core/failure.ts';
import { Secret } from '../core/secret.ts';
import { errorCode, readJson, readText, removeFile, syncDirectory, writeAtomically, writeJson } from './files.ts';
import { makePrivateFolder } from './home.ts';

const resultSchema = z.unknown();

/** `<home>/jobs/<id>/`: all that is known of one job. Root's, and nobody else reads it. */
export interface JobFolder {
  readonly path: string;
  readonly log: string;
  /** Durable, with the folder itself, before this returns. */
  writeRequest(request: JobRequest): Promise<void>;
  readRequest(): Promise<JobRequest | undefined>;
  /** Keeps what the verb will read from its standard input; before the request, so that no job is without what it was given. */
  writeInput(input: Secret): Promise<void>;
  /** Gives it out, once: it is gone from the disk before this returns. */
  takeInput(): Promise<Secret | undefined>;
  forgetInput(): Promise<void>;
  writeRunning(running: JobRunning): Promise<void>;
  readRunning(): Promise<JobRunning | undefined>;
  writeStep(step: JobStep): Promise<void>;
  readStep(): Promise<JobStep | undefined>;
  writeResult(result: unknown): Promise<void>;
  readResult(): Promise<unknown>;
  writeEnded(ended: JobEnded): Promise<void>;
  readEnded(): Promise<JobEnded | undefined>;
}

/** Where a home's jobs lie. */
export function jobsFolder(home: string): string {
  return join(home, 'jobs');
}

/** The folder of one job. Fails with `usage` for an id that is none: a path is made of it. */
export function jobFolder(home: string, id: string): JobFolder {
  if (!jobIdPattern.test(id)) throw new Failure('usage', `"${id}" is not the id of a job`);
  const path = join(jobsFolder(home), id);
  const request = join(path, 'request.json');
  const input = join(path, 'input');
  const running = join(path, 'running.json');
  const progress = join(path, 'progress.json');
  const result = join(path, 'result.json');
  const ended = join(path, 'ended.json');
  const makeFolder = async () => {
    await makePrivateFolder(jobsFolder(home));
    await makePrivateFolder(path);
  };
  return {
    path,
    log: join(path, 'log'),
    writeRequest: async (value) => {
      await makeFolder();
      await writeJson(request, jobRequestSchema, value);
    },
    readRequest: async () => await readJson(request, jobRequestSchema),
    writeInput: async (value) => {
      await makeFolder();
      await writeAtomically(input, value.reveal());
    },
    takeInput: async () => {
      const text = await readText(input);
      if (text === undefined) return undefined;
      await removeFile(input);
      return new Secret(text);
    },
    forgetInput: async () => {
      await removeFile(input);
    },
    writeRunning: async (value) => await writeJson(running, jobRunningSchema, value),
    readRunning: async () => await readJson(running, jobRunningSchema),
    writeStep: async (value) => await writeJson(progress, jobStepSchema, value),
    readStep: async () => await readJson(progress, jobStepSchema),
    writeResult: async (value) => await writeJson(result, resultSchema, value),
    readResult: async () => await readJson(result, resultSchema),
    writeEnded: async (value) => await writeJson(ended, jobEndedSchema, value),
    readEnded: async () => await readJson(ended, jobEndedSchema),
  };
}

/** The ids of all jobs that were ever asked for and are not forgotten, in no order. */
export async function listJobIds(home: string): Promise<readonly string[]> {
  return (await namesIn(jobsFolder(home))).filter((name) => jobIdPattern.test(name));
}

const goneMark = '.gone-';

/** Forgets a job. Who is interrupted leaves the whole job, or a rest that is none any more and that `sweepJobs` removes. */
export async function forgetJob(home: string, id: string): Promise<void> {
  const gone = join(jobsFolder(home), goneMark + id);
  try {
    await rename(jobFolder(home, id).path, gone);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  await syncDirectory(jobsFolder(home));
  await rm(gone, { recursive: true, force: true });
}

/** Removes what interrupted forgetting and asking left. Only who may start jobs may call it. */
export async function sweepJobs(home: string): Promise<void> {
  for (const name of await namesIn(jobsFolder(home))) {
    const path = join(jobsFolder(home), name);
    if (name.startsWith(goneMark)) await rm(path, { recursive: true, force: true });
    // A folder that never got its request: nobody was told its id.
    else if (jobIdPattern.test(name) && !(await namesIn(path)).includes('request.json'))
      await rm(path, { recursive: true, force: true });
  }
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return [];
    throw new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  }
}
