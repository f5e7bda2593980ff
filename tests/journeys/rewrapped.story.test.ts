import { execa } from 'execa';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { encryptionOptions, newAgeKey, type AgeKey } from '../setup/age.ts';
import { planSchema, restoredSchema, runCommand, writeSettings, type Said } from '../setup/command.ts';
import { makeRemoteStory, type RemoteStory } from './remote-story.ts';

const [former, latter, strange] = [newAgeKey(), newAgeKey(), newAgeKey()];
const rows = "select count(*), md5(string_agg(n::text, ',' order by n)) from t";
const rewrapPlanSchema = z.object({
  plan: z.looseObject({ id: z.string(), wal: z.object({ objects: z.number() }), leftovers: z.number() }),
});
let story: RemoteStory;
let stick: string;

beforeAll(async () => {
  story = await makeRemoteStory();
  stick = join(story.machine.root, 'stick');
  await mkdir(stick, { mode: 0o700 });
  for (const [name, keys] of Object.entries({
    former: [former],
    latter: [latter],
    strange: [strange],
    both: [latter, former],
  }))
    await writeFile(join(stick, name), keys.map(({ file }) => file).join('\n'), { mode: 0o600 });
});
afterAll(async () => {
  await story.machine.destroy();
});

function given(name: string): string {
  return `--identity-file=${join(stick, name)}`;
}

async function encryptTo(key: AgeKey): Promise<void> {
  const { 'encryption-identity': _none, ...options } = encryptionOptions([key]);
  await story.configure(options, {});
}

async function restore(...args: readonly string[]): Promise<Said> {
  const all = ['restore', '--cluster', '15/spare', '--format', 'json', ...args];
  return await runCommand(story.machine, all, story.spareHome);
}

async function restoreTo(time: Date, keys: string): Promise<void> {
  await writeSettings(story.machine, story.spareHome, { 'restart-postgresql': 'true' });
  const planned = await restore('--to', `time=${time.toISOString()}`, given(keys));
  expect(planned.exitCode, `${planned.stdout}\n${planned.stderr}`).toBe(0);
  const { plan } = planSchema.parse(JSON.parse(planned.stdout));
  const done = await restore(`--confirm=${plan.id}`, given(keys));
  expect(done.exitCode, `${done.stdout}\n${done.stderr}`).toBe(0);
  restoredSchema.parse(JSON.parse(done.stdout));
}

async function moment(): Promise<Date> {
  return new Date((await story.production.sql('select pg_sleep(0.1); select now(); select pg_sleep(0.1)')).trim());
}

async function objects(): Promise<readonly string[]> {
  const entries = await readdir(story.machine.destination, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

test('what was stored for a recipient of before is restored to a time with the new identity alone, and with the old one not', async () => {
  await encryptTo(former);
  expect(await story.run('init')).toMatchObject({ exitCode: 0 });
  await story.production.sql('create table t as select generate_series(1, 20000) as n');
  expect(await story.run('backup')).toMatchObject({ exitCode: 0 });
  await story.production.sql('insert into t select generate_series(20001, 30000)');
  const [good, time] = [await story.production.sql(rows), await moment()];
  await story.production.sql('delete from t where n > 100');
  expect(await story.run('check')).toMatchObject({ exitCode: 0 });
  await encryptTo(latter);
  // New WAL is for the new one by now.
  expect(await story.run('check')).toMatchObject({ exitCode: 0 });

  const before = await objects();
  for (const [args, said] of [
    [[], 'no identity is at hand'],
    [[given('strange')], former.fingerprint],
  ] as const) {
    expect(await story.run('rewrap', ...args)).toMatchObject({ exitCode: 4, stderr: expect.stringContaining(said) });
  }
  const planned = await story.run('rewrap', given('former'), '--format', 'json');
  expect(planned.exitCode, planned.stdout).toBe(0);
  const { plan } = rewrapPlanSchema.parse(JSON.parse(planned.stdout));
  expect(plan.wal.objects).toBeGreaterThan(1);
  expect(await objects()).toEqual(before);

  const done = await story.run('rewrap', given('former'), `--confirm=${plan.id}`);
  expect(done, done.stdout).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining(`age1…${latter.fingerprint}`),
  });
  const again = await story.run('rewrap', given('latter'));
  expect(again).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('there is nothing to do') });

  expect(await restore('--to', `time=${time.toISOString()}`, given('former'))).toMatchObject({
    exitCode: 4,
    stdout: expect.stringContaining(latter.fingerprint),
  });
  await restoreTo(time, 'latter');
  expect(await story.spare.sql(rows)).toBe(good);
});

test('afterwards archiving, backups and prunes go on, and a line that was killed half way is restored with both identities', async () => {
  await story.production.sql('insert into t select generate_series(40001, 50000)');
  expect(await story.run('backup')).toMatchObject({ exitCode: 0 });
  await story.production.sql('insert into t select generate_series(50001, 60000)');
  const [good, time] = [await story.production.sql(rows), await moment()];
  expect(await story.run('check')).toMatchObject({ exitCode: 0 });
  expect(await story.run('prune')).toMatchObject({ exitCode: 0 });
  await encryptTo(former);
  const { plan } = rewrapPlanSchema.parse(
    JSON.parse((await story.run('rewrap', given('latter'), '--format', 'json')).stdout),
  );

  const program = join(story.machine.runtime, 'bin', 'landscape-backup');
  const args = ['rewrap', given('latter'), `--confirm=${plan.id}`, '--cluster', '15/production'];
  const running = execa(program, [...args, '--home', story.machine.home], {
    env: story.machine.env,
    cwd: '/',
    reject: false,
  });
  // Wherever it is by then: before the first object, between two, or done.
  await expect
    .poll(async () => (await objects()).some((path) => /\.3\.age/.test(path)), { timeout: 60_000 })
    .toBe(true);
  running.kill('SIGKILL');
  await running;

  await restoreTo(time, 'both');
  expect(await story.spare.sql(rows)).toBe(good);

  let finished = await story.run('rewrap', given('both'), `--confirm=${plan.id}`);
  // The killed one's child, which had begun to stop, may hold the lock for a moment.
  while (finished.exitCode === 9) finished = await story.run('rewrap', given('both'), `--confirm=${plan.id}`);
  expect(finished.exitCode, finished.stdout).toBe(0);
  // A moment later, when nothing was written, is another plan: what the first has set aside stays.
  await restoreTo(new Date(time.getTime() + 1), 'former');
  expect(await story.spare.sql(rows)).toBe(good);
});
