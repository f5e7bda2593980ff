import { jobEndedSchema } from '../core/job.ts';
import { runJob as run } from '../system/job-run.ts';
import { wakeCharm } from '../system/wake-charm.ts';
import type { Verb } from './program.ts';

/** `run-job`: what a job's systemd unit runs. */
export const runJob: Verb = {
  name: 'run-job',
  as: 'root',
  summary: 'run a job that was asked for, keep what it tells, and wake the charm',
  help: `The charm's jobs are started with it, by systemd. It runs the verb that stands in <home>/jobs/<id>/request.json and
writes beside it progress.json, result.json and, last of all, ended.json. It succeeds when that is durable; how the verb
ended stands there. journalctl -u 'landscape-backup-*' shows what it said.`,
  arguments: [{ name: 'id', description: "the job's id" }],
  run: async ({ home, program, clock, signal, log }, _options, [id = '']) => {
    const ended = await run({ home, program, clock, signal, say: log }, id);
    const unwoken = await wakeCharm(home, signal);
    if (unwoken !== undefined) log(unwoken);
    const how =
      ended.exitCode === 0 ? 'succeeded' : `failed: ${ended.failure?.message ?? `exit code ${ended.exitCode}`}`;
    return { text: `the job ${id} ${how}`, json: { job: { id, ...jobEndedSchema.encode(ended) } } };
  },
};
