import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { jobStepSchema, type JobStep } from '../core/job.ts';
import type { JobFolder } from './job-folder.ts';

const betweenMs = 1000;
const lineSchema = z.object({ progress: jobStepSchema.omit({ at: true }) });

/** Keeps the last step of a job in its folder: the first at once, then at most one a second, the newest always. */
export function stepKeeper(folder: JobFolder): { keep(step: JobStep): void; close(): Promise<void> } {
  let waiting: JobStep | undefined;
  let writing: Promise<void> | undefined;
  const closing = new AbortController();
  const write = async (): Promise<void> => {
    while (waiting !== undefined && !closing.signal.aborted) {
      const step = waiting;
      waiting = undefined;
      // A disk that is full is no reason to end the job: its steps are for who looks, nothing is decided by them.
      await folder.writeStep(step).catch(() => undefined);
      await sleep(betweenMs, undefined, { signal: closing.signal }).catch(() => undefined);
    }
    writing = undefined;
  };
  return {
    keep: (step) => {
      waiting = step;
      writing ??= write();
    },
    close: async () => {
      const last = waiting;
      closing.abort();
      await writing;
      if (last !== undefined) await folder.writeStep(last).catch(() => undefined);
    },
  };
}

/** Reads what a verb says beside its result, and gives back its last lines that are no steps. */
export async function readSteps(
  stream: Readable,
  now: () => Date,
  hear: { step(step: JobStep): void; line(line: string): void },
): Promise<readonly string[]> {
  const last: string[] = [];
  for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
    const step = stepOf(line);
    if (step !== undefined) {
      hear.step({ at: now(), ...step });
      continue;
    }
    hear.line(line);
    last.push(line);
    if (last.length > 5) last.shift();
  }
  return last;
}

function stepOf(line: string): Omit<JobStep, 'at'> | undefined {
  if (!line.startsWith('{"progress":')) return undefined;
  try {
    return lineSchema.safeParse(JSON.parse(line)).data?.progress;
  } catch {
    return undefined;
  }
}
