import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { Secret } from '../../src/core/secret.ts';
import { jobFolder } from '../../src/system/job-folder.ts';
import { makeJobs, type JobRunner } from '../../src/system/jobs.ts';
import { systemdJobs } from '../../src/system/systemd-jobs.ts';
import { fixedClock } from '../doubles/fixed-clock.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'lb-jobs-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(home, { recursive: true });
});

const clock = fixedClock(new Date('2026-11-24T02:00:00Z'));

/** Runs nothing: a job is alive from its start until the test lets it die or end. */
function idleRunner() {
  const alive = new Set<string>();
  const asked: string[] = [];
  const runner: JobRunner = {
    start: async (id) => {
      // What a process would find: the request is there before it is.
      expect(await jobFolder(home, id).readRequest()).toMatchObject({ id });
      alive.add(id);
    },
    isAlive: async (id) => alive.has(id),
    stop: async (id, _running, how) => {
      asked.push(`${how} ${id}`);
      if (how === 'force') alive.delete(id);
    },
  };
  return { runner, alive, asked };
}

async function end(id: string, exitCode = 0): Promise<void> {
  await jobFolder(home, id).writeEnded({ format: 1, endedAt: clock.now(), exitCode, failure: null });
}

test('a job is known by its verb and its start, and told as it is', async () => {
  const { runner } = idleRunner();
  const jobs = makeJobs(home, runner, clock);

  const id = await jobs.start(['backup', '--label', 'before the upgrade']);

  expect(id).toMatch(/^backup-20261124T020000Z-[0-9a-f]{6}$/);
  expect(await jobs.look(id)).toMatchObject({ verb: 'backup', state: 'queued' });
  await jobFolder(home, id).writeResult({ backup: { id: 'b' } });
  await end(id);
  expect(await jobs.look(id)).toMatchObject({ state: 'succeeded', exitCode: 0, result: { backup: { id: 'b' } } });
  expect((await stat(jobFolder(home, id).path)).mode & 0o777).toBe(0o700);
});

test('while a verb runs a second of it is busy and names the first; another verb may run beside it', async () => {
  const { runner } = idleRunner();
  const jobs = makeJobs(home, runner, clock);
  const first = await jobs.start(['backup']);

  await expect(jobs.start(['backup'])).rejects.toMatchObject({
    kind: 'busy',
    message: `a job of backup is already running: ${first}`,
  });
  await jobs.start(['prune']);
  await end(first);
  await jobs.start(['backup']);
  expect((await jobs.list()).map(({ verb, state }) => `${verb} ${state}`).toSorted()).toEqual([
    'backup queued',
    'backup succeeded',
    'prune queued',
  ]);
});

test('of two that start the same verb at once one succeeds', async () => {
  const { runner } = idleRunner();
  const jobs = makeJobs(home, runner, clock);
  const started = await Promise.allSettled([jobs.start(['backup']), jobs.start(['backup']), jobs.start(['backup'])]);
  expect(started.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('with an id of the caller it starts once, however often it is asked and whatever became of it', async () => {
  const { runner, alive } = idleRunner();
  const jobs = makeJobs(home, runner, clock);
  const id = 'restore-4f2a-1-database';

  expect(await jobs.start(['restore'], { id })).toBe(id);
  expect(await jobs.start(['restore'], { id })).toBe(id);
  await end(id, 5);
  alive.delete(id);
  expect(await jobs.start(['restore'], { id })).toBe(id);
  expect(await jobs.look(id)).toMatchObject({ state: 'failed', exitCode: 5 });
  await expect(jobs.start(['restore'], { id: '../0' })).rejects.toMatchObject({ kind: 'usage' });
});

test('a job that could not be started is none', async () => {
  const { runner } = idleRunner();
  const start = async () => await Promise.reject(new Failure('machine', 'systemctl could not be started'));
  const jobs = makeJobs(home, { ...runner, start }, clock);
  await expect(jobs.start(['backup'])).rejects.toMatchObject({ message: 'systemctl could not be started' });
  expect(await jobs.list()).toEqual([]);
});

test('only the newest twenty that have ended are remembered', async () => {
  const { runner, alive } = idleRunner();
  let hour = 0;
  const jobs = makeJobs(home, runner, { now: () => new Date(Date.UTC(2026, 10, 1, hour)) });
  const pending = await jobs.start(['drill']);
  const ids: string[] = [];
  for (hour = 1; hour <= 25; hour += 1) {
    const id = await jobs.start(['backup']);
    await end(id);
    alive.delete(id);
    ids.push(id);
  }
  const known = (await jobs.list()).map(({ id }) => id);
  expect(known).toContain(pending);
  expect(known.filter((id) => id !== pending)).toEqual(ids.slice(-21).toReversed());
});

test('what an interrupted start or forgetting left is no job, and is swept', async () => {
  const { runner } = idleRunner();
  const jobs = makeJobs(home, runner, clock);
  await mkdir(join(home, 'jobs', 'backup-1'), { recursive: true });
  await mkdir(join(home, 'jobs', '.gone-backup-0'));
  await writeFile(join(home, 'jobs', '.gone-backup-0', 'ended.json'), '{}');
  expect(await jobs.list()).toEqual([]);

  const id = await jobs.start(['prune']);
  expect((await readdir(join(home, 'jobs'))).toSorted()).toEqual(['.start.lock', id]);
});

test('what a job is given lies there for nobody but root, as long as somebody may still run the job', async () => {
  const { runner, alive } = idleRunner();
  const jobs = makeJobs(home, runner, clock);
  const id = await jobs.start(['restore'], { input: new Secret('planted identity') });
  const path = join(jobFolder(home, id).path, 'input');
  await jobs.list();
  expect((await stat(path)).mode & 0o777).toBe(0o600);

  // Killed before it could take it.
  await jobFolder(home, id).writeRunning({ format: 1, runner: { pid: 1, startTime: 'x' }, verb: null });
  alive.delete(id);
  expect(await jobs.list()).toMatchObject([{ id, state: 'lost' }]);
  await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('a job that nobody can read hides no other, and is told to who asks for it', async () => {
  const { runner } = idleRunner();
  const jobs = makeJobs(home, runner, clock);
  const id = await jobs.start(['prune']);
  const damaged = await jobs.start(['backup']);
  await writeFile(join(home, 'jobs', damaged, 'request.json'), '{');
  expect((await jobs.list()).map((job) => job.id)).toEqual([id]);
  await expect(jobs.look(damaged)).rejects.toMatchObject({ kind: 'damaged' });
});

test('a job that does not end when it is asked is ended by force, and told as lost', async () => {
  const { runner, asked } = idleRunner();
  const jobs = makeJobs(home, runner, clock, 300);
  const id = await jobs.start(['backup']);
  const { runner: mark } = { runner: { pid: 1, startTime: 'x' } };
  await jobFolder(home, id).writeRunning({ format: 1, runner: mark, verb: null });

  expect(await jobs.stop(id)).toMatchObject({ state: 'lost' });
  expect(asked).toEqual([`ask ${id}`, `force ${id}`]);
  expect(await jobs.stop(id)).toMatchObject({ state: 'lost' });
  expect(asked).toHaveLength(2);
  expect(await jobs.stop('nobody-knows')).toBeUndefined();
});

test('with systemd a job is an instance of the template: started without waiting, asked by its state', async () => {
  const said = join(home, 'said');
  await mkdir(join(home, 'bin'));
  await writeFile(
    join(home, 'bin', 'systemctl'),
    `#!/bin/sh\necho "$@" >> '${said}'\ncase $1 in is-active) cat '${home}/state'; exit 3 ;; esac\n`,
  );
  await chmod(join(home, 'bin', 'systemctl'), 0o755);
  vi.stubEnv('PATH', `${join(home, 'bin')}:${process.env['PATH'] ?? ''}`);
  const { readFile } = await import('node:fs/promises');
  const jobs = systemdJobs(home, 'landscape-backup-0-job', clock);

  const id = await jobs.start(['backup']);
  await jobFolder(home, id).writeRunning({ format: 1, runner: { pid: 1, startTime: 'x' }, verb: null });
  const states: unknown[] = [];
  for (const state of ['active', 'activating', 'deactivating', 'inactive', 'failed', 'unknown']) {
    await writeFile(join(home, 'state'), `${state}\n`);
    states.push((await jobs.look(id))?.state);
  }
  expect(states).toEqual(['running', 'running', 'running', 'lost', 'lost', 'lost']);
  expect((await readFile(said, 'utf8')).split('\n').slice(0, 2)).toEqual([
    `start --no-block landscape-backup-0-job@${id}.service`,
    `is-active landscape-backup-0-job@${id}.service`,
  ]);
});
