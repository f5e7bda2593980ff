import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { isPending, type Job } from '../../src/core/job.ts';
import { Secret } from '../../src/core/secret.ts';
import { childJobs } from '../../src/system/child-jobs.ts';
import { machineClock } from '../../src/system/clock.ts';
import { jobFolder } from '../../src/system/job-folder.ts';
import { runJob } from '../../src/system/job-run.ts';
import type { Jobs } from '../../src/system/jobs.ts';
import { isRunning, markOf } from '../../src/system/process-mark.ts';
import { writeUnitIdentity } from '../../src/system/unit-identity.ts';
import { wakeCharm } from '../../src/system/wake-charm.ts';
import { until } from '../setup/wait.ts';

let home: string;
let jobs: Jobs;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'lb-jobrun-'));
  jobs = childJobs(home, [process.execPath, join(import.meta.dirname, 'job.child.ts')], machineClock, 3000);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const job of await jobs.list()) await jobs.stop(job.id);
  await rm(home, { recursive: true, force: true });
});

async function ended(id: string): Promise<Job> {
  let job: Job | undefined;
  await until(`the job ${id} has ended`, async () => {
    job = await jobs.look(id);
    return job !== undefined && !isPending(job);
  });
  if (job === undefined) throw new Error(`nobody knows ${id}`);
  return job;
}

/** The processes of verbs that work, whatever their jobs say of them. */
async function workers(): Promise<readonly number[]> {
  const text = await readFile(join(home, 'worked'), 'utf8').catch(() => '');
  const pids = text
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);
  const found = await Promise.all(pids.map(async (pid) => ((await markOf(pid)) === undefined ? [] : [pid])));
  return found.flat();
}

const marks = async (id: string) => await jobFolder(home, id).readRunning();

test('a job tells its last step while it runs, and its result when it has ended', async () => {
  const id = await jobs.start(['work', '1500']);
  await until('it tells a step', async () => (await jobs.look(id))?.progress !== undefined);
  expect(await jobs.look(id)).toMatchObject({ state: 'running', progress: { phase: 'copying', bytes: 1 } });

  expect(await ended(id)).toMatchObject({
    state: 'succeeded',
    exitCode: 0,
    failure: undefined,
    result: { worked: { for: '1500' } },
    progress: { phase: 'closing' },
  });
  expect(await readFile(jobFolder(home, id).log, 'utf8')).toBe('a line for the log\n');
});

test.each([
  ['fail', 5, { kind: 'unavailable', message: 'the destination does not answer', hint: 'Mount it.' }],
  ['die', 137, { kind: 'machine', message: 'die was ended by SIGKILL' }],
  ['mute', 1, { kind: 'internal', message: 'mute ended with exit code 1 and told no result: Error: something' }],
])('a verb that ends badly (%s) is told with its own words', async (verb, exitCode, failure) => {
  const id = await jobs.start([verb]);
  expect(await ended(id)).toMatchObject({ state: 'failed', exitCode, failure, result: undefined });
});

test('a verb reads what the job was given, which lies nowhere any more when it does; without it, it reads nothing', async () => {
  const id = await jobs.start(['read'], { input: new Secret('planted identity\n') });
  expect((await ended(id)).result).toEqual({ read: 'planted identity\n' });
  expect(await readdir(jobFolder(home, id).path)).not.toContain('input');

  expect((await ended(await jobs.start(['read']))).result).toEqual({ read: '' });
});

test('a verb that did its work and found something bad has a result and no failure', async () => {
  const id = await jobs.start(['find']);
  expect(await ended(id)).toMatchObject({
    state: 'failed',
    exitCode: 12,
    failure: undefined,
    result: { check: { bad: ['clock'] } },
  });
});

test('a job that is stopped ends in good order: the verb hears it and says so', async () => {
  const id = await jobs.start(['work', '60000']);
  await until('the verb works', async () => (await jobs.look(id))?.progress !== undefined);
  expect(await jobs.stop(id)).toMatchObject({ state: 'failed', failure: { message: 'stopped by SIGTERM' } });
});

test('a verb that has ended before its runner has written down its number has told its result all the same', async () => {
  const program = join(home, 'quick');
  await writeFile(program, `#!/bin/sh\necho '{"worked":"at once"}'\necho 'a line for the log' >&2\n`);
  await chmod(program, 0o755);
  for (let round = 0; round < 20; round += 1) {
    const id = `quick-${round}`;
    await jobFolder(home, id).writeRequest({ format: 1, id, argv: ['work'], startedAt: new Date() });
    const said: string[] = [];
    const ended = await runJob(
      {
        home,
        program: [program],
        clock: machineClock,
        signal: new AbortController().signal,
        say: (line) => said.push(line),
      },
      id,
    );

    expect(ended).toMatchObject({ exitCode: 0, failure: null });
    expect(await jobs.look(id)).toMatchObject({ state: 'succeeded', result: { worked: 'at once' } });
    expect(said).toEqual(['a line for the log']);
  }
});

test('killed outright at any instant a job is told as it is: running until nothing of it is left, then lost', async () => {
  for (let round = 0; round < 12; round += 1) {
    const id = await jobs.start(['work', '60000'], { id: `work-${round}` });
    const waitMs = Math.random() * 500;
    await sleep(waitMs);
    await until('its runner is known', async () => (await marks(id)) !== undefined);
    // In every other pair the verb is at work already; else it may be about to start.
    if (round % 4 < 2) await until('the verb works', async () => (await jobs.look(id))?.progress !== undefined);
    const running = await marks(id);
    const victim = round % 2 === 0 ? running?.runner : (running?.verb ?? running?.runner);
    if (victim === undefined) throw new Error('nobody to kill');
    process.kill(victim.pid, 'SIGKILL');
    const job = await ended(id);

    const story = `round ${round}, killed after ${Math.round(waitMs)} ms`;
    if (victim === running?.runner) expect(job, story).toMatchObject({ state: 'lost', endedAt: undefined });
    else expect(job, story).toMatchObject({ state: 'failed', failure: { message: 'work was ended by SIGKILL' } });
    await until(`${story}: nothing goes on alone`, async () => (await workers()).length === 0, 3);
  }
}, 90_000);

test('the number of a process that has gone is not believed when another one has it', async () => {
  const mark = await markOf(process.pid);
  if (mark === undefined) throw new Error('no mark of this process');
  expect(await isRunning(mark)).toBe(true);
  expect(await isRunning({ ...mark, startTime: `${mark.startTime}0` })).toBe(false);

  const id = await jobs.start(['work', '0']);
  await ended(id);
  await rm(join(jobFolder(home, id).path, 'ended.json'));
  await jobFolder(home, id).writeRunning({ format: 1, runner: { ...mark, startTime: 'before:1' }, verb: null });
  expect(await jobs.look(id)).toMatchObject({ state: 'lost' });
});

test('a job runs once: whoever runs it again does nothing', async () => {
  const id = await jobs.start(['work', '0']);
  await ended(id);
  const again = childJobs(home, [process.execPath, join(import.meta.dirname, 'job.child.ts')], machineClock);
  expect(await again.start(['work', '0'], { id })).toBe(id);
  const { execa } = await import('execa');
  const program = join(import.meta.dirname, 'job.child.ts');
  const { exitCode, stderr } = await execa(process.execPath, [program, 'run-job', id, '--home', home], {
    reject: false,
  });
  expect(exitCode).not.toBe(0);
  expect(stderr).toContain(`the job ${id} has been run before`);
  expect((await readFile(join(home, 'worked'), 'utf8')).trim().split('\n')).toHaveLength(1);
});

async function juju(name: string, script: string): Promise<void> {
  await mkdir(join(home, 'bin'), { recursive: true });
  await writeFile(join(home, 'bin', name), `#!/bin/sh\n${script}\n`);
  await chmod(join(home, 'bin', name), 0o755);
  vi.stubEnv('PATH', `${join(home, 'bin')}:/usr/bin:/bin`);
}

async function charm(): Promise<void> {
  await writeUnitIdentity(home, {
    format: 1,
    model: { uuid: '8cb6cd5d-73bb-4a2e-8a1e-6bd4b2cf1d0a', name: 'm' },
    application: 'landscape-backup',
    unit: 'landscape-backup/0',
    principal: 'postgresql/0',
    roles: ['postgresql'],
    charmDirectory: home,
    jujuVersion: '3.6.27',
  });
  await writeFile(join(home, 'dispatch'), `#!/bin/sh\necho "$JUJU_DISPATCH_PATH" > '${home}/dispatched'\n`);
  await chmod(join(home, 'dispatch'), 0o755);
}

const neverStopped = new AbortController().signal;

test.each(['juju-exec', 'juju-run'])('the charm is woken by %s, outside of any hook', async (name) => {
  await charm();
  await juju(
    name,
    `[ -z "\${JUJU_CONTEXT_ID+x}" ] || exit 2\n[ "$1" = landscape-backup/0 ] || exit 3\nexec bash -c "$2"`,
  );
  vi.stubEnv('JUJU_CONTEXT_ID', 'landscape-backup/0-update-status-1');
  expect(await wakeCharm(home, neverStopped)).toBeUndefined();
  expect(await readFile(join(home, 'dispatched'), 'utf8')).toBe('hooks/job-ended\n');
});

test('a charm that could not be woken is a line for the log, and no charm is nothing', async () => {
  await juju('juju-exec', 'echo "the agent is down" >&2; exit 1');
  expect(await wakeCharm(home, neverStopped)).toBeUndefined();
  await charm();
  expect(await wakeCharm(home, neverStopped)).toBe(
    'the charm was not woken, it looks by itself at its next update-status: juju-exec ended with exit code 1: the agent is down',
  );
});
