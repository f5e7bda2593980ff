import { expect, test } from 'vitest';
import { forgottenJobs, isPending, judgeJob, type Job, type JobFacts } from '../../src/core/job.ts';

const startedAt = new Date('2026-11-24T02:00:00Z');
const after = (seconds: number) => new Date(startedAt.getTime() + seconds * 1000);

function judged(facts: Partial<JobFacts>): Job {
  return judgeJob({
    request: { format: 1, id: 'backup-1', argv: ['backup', '--label', 'x'], startedAt },
    isAlive: false,
    hasStarted: false,
    progress: undefined,
    result: undefined,
    ended: undefined,
    now: after(1),
    ...facts,
  });
}

const ended = (exitCode: number) => ({ format: 1 as const, endedAt: after(60), exitCode, failure: null });

test.each([
  ['was asked for a moment ago', {}, 'queued'],
  ['has a process that has not spoken yet', { isAlive: true, now: after(3600) }, 'queued'],
  ['runs', { isAlive: true, hasStarted: true, now: after(360_000) }, 'running'],
  ['ended with 0', { hasStarted: true, ended: ended(0) }, 'succeeded'],
  ['ended with another code', { hasStarted: true, ended: ended(12) }, 'failed'],
  ['ended, and its process still wakes the charm', { isAlive: true, hasStarted: true, ended: ended(0) }, 'succeeded'],
  ['had started and its process is gone', { hasStarted: true }, 'lost'],
  ['never started within half a minute', { now: after(31) }, 'lost'],
  ['never started before the clock was set back', { now: after(-3600) }, 'lost'],
] satisfies readonly (readonly [string, Partial<JobFacts>, Job['state']])[])('a job that %s', (_what, facts, state) => {
  expect(judged(facts).state).toBe(state);
});

test('a job that is lost says that it did not say how it ended, and what to do', () => {
  expect(judged({ hasStarted: true }).failure).toMatchObject({
    message: 'the job ended without saying how (killed, or a power cut)',
    hint: expect.stringContaining('start it again'),
  });
});

test('what is forgotten is the oldest that has ended; what is to end never is', () => {
  const jobs = [1, 2, 3, 4].map((hour) => ({
    ...judged({ ended: hour === 1 ? undefined : ended(0), isAlive: hour === 1, hasStarted: true }),
    id: `backup-${hour}`,
    startedAt: after(hour * 3600),
  }));
  expect(jobs.filter(isPending).map(({ id }) => id)).toEqual(['backup-1']);
  expect(forgottenJobs(jobs, 2)).toEqual(['backup-2']);
  expect(forgottenJobs(jobs, 0)).toEqual(['backup-4', 'backup-3', 'backup-2']);
});
