import { execa } from 'execa';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { unitFolder } from '../../src/system/home.ts';
import { encryptionOptions, newAgeKey } from '../setup/age.ts';
import { planSchema, restoredSchema, runCommand, writeSettings, type Said } from '../setup/command.ts';
import { until } from '../setup/wait.ts';
import { makeRemoteStory, type RemoteStory } from './remote-story.ts';

const kept = newAgeKey();
const strange = newAgeKey();
const body = kept.identity.slice('AGE-SECRET-KEY-1'.length);
let story: RemoteStory;
/** Where only root gets in, as on a stick that was put into the machine. */
let stick: string;
let keptFile: string;
const titles = new Set<string>();
let watching = true;
let watcher: Promise<void>;

beforeAll(async () => {
  story = await makeRemoteStory();
  stick = join(story.machine.root, 'stick');
  await mkdir(stick, { mode: 0o700 });
  keptFile = join(stick, 'kept.txt');
  await writeFile(keptFile, kept.file, { mode: 0o600 });
  await writeFile(join(stick, 'strange.txt'), strange.file, { mode: 0o600 });
  watcher = watchTitles();
});

afterAll(async () => {
  watching = false;
  await watcher;
  await story.machine.destroy();
});

/** The arguments and environments of all processes that root can see. */
async function watchTitles(): Promise<void> {
  while (watching) {
    const { stdout } = await execa(
      'sh',
      ['-c', 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n"'],
      {
        reject: false,
      },
    );
    for (const title of stdout.split('\n')) titles.add(title);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function restoring(args: readonly string[], input?: string) {
  const { machine, spareHome } = story;
  const program = join(machine.runtime, 'bin', 'landscape-backup');
  return execa(program, ['restore', '--cluster', '15/spare', '--home', spareHome, '--format', 'json', ...args], {
    env: machine.env,
    cwd: '/',
    reject: false,
    ...(input === undefined ? {} : { input }),
  });
}

async function restore(args: readonly string[], input?: string): Promise<Said> {
  const { exitCode = -1, stdout, stderr } = await restoring(args, input);
  story.said.push(stdout, stderr);
  return { exitCode, stdout, stderr };
}

const identities = () => join(unitFolder(story.spareHome, '15-spare').restore, 'identities.txt');
const rows = "select count(*), md5(string_agg(n::text, ',' order by n)) from t";

async function objects(): Promise<readonly string[]> {
  const { destination } = story.machine;
  const entries = await readdir(destination, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

test('nothing begins before somebody has compared the recipient', async () => {
  await story.configure({ 'encryption-recipients': kept.recipient }, {});

  const init = await story.run('init');

  expect(init).toMatchObject({
    exitCode: 3,
    stderr: expect.stringMatching(/nobody has confirmed[\s\S]*age-keygen -y/),
  });
  expect(init.stderr).toContain(`encryption-confirmed to: ${kept.fingerprint}`);
  expect(await objects()).toEqual([]);
});

test('backups need the recipient alone, and check opens a probe with the identity that it is given', async () => {
  const { 'encryption-identity': _none, ...options } = encryptionOptions([kept]);
  await story.configure(options, {});
  expect(await story.run('init')).toMatchObject({ exitCode: 0 });
  await story.production.sql('create table t as select generate_series(1, 20000) as n');
  expect(await story.run('backup')).toMatchObject({ exitCode: 0 });
  await story.production.sql('insert into t select generate_series(20001, 30000)');

  const alone = await story.run('check');
  expect(alone, alone.stdout).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/as confirmed; no identity is at hand[\s\S]*read back as it is stored, encrypted/),
  });
  const given = await story.run('check', '--identity-file', keptFile);
  expect(given, given.stdout).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/opened with the identity that is at hand[\s\S]*was read back \(/),
  });
  const wrong = await story.run('check', `--identity-file=${join(stick, 'strange.txt')}`);
  expect(wrong).toMatchObject({
    exitCode: 4,
    stdout: expect.stringMatching(`${kept.fingerprint}.*${strange.fingerprint}`),
  });
});

test('at the destination all but records and histories is encrypted', async () => {
  const secret = (await objects()).filter((path) => !/\.json$|README\.txt$|\.history\.zst$/.test(path));

  expect(secret.length).toBeGreaterThan(3);
  for (const path of secret) {
    expect(path).toMatch(/\.age(?:\.\d+)?$/);
    expect((await readFile(path)).subarray(0, 22).toString('latin1')).toBe('age-encryption.org/v1\n');
  }
});

test('without the identity, or with another, a restore is refused before anything is stopped', async () => {
  await story.spare.sql('create table mine as select 1 as one');
  // Who only restores needs no recipient.
  await writeSettings(story.machine, story.spareHome, { 'restart-postgresql': 'true' });

  const none = await restore([]);
  expect(none).toMatchObject({ exitCode: 4, stdout: expect.stringContaining('--identity-file=<file>') });
  const wrong = await restore(['--identity-file', join(stick, 'strange.txt')]);
  expect(wrong).toMatchObject({ exitCode: 4, stdout: expect.stringContaining(`age1…${strange.fingerprint}`) });
  const torn = await restore(['--identity-file', '-'], kept.identity.slice(0, -1));
  expect(torn).toMatchObject({ exitCode: 2, stdout: expect.stringContaining('no identity file of age') });
  const absent = await restore(['--identity-file', join(stick, 'nothing.txt')]);
  expect(absent).toMatchObject({ exitCode: 2, stdout: expect.stringContaining('ENOENT') });

  const owning = await restore(['--take-over', '--identity-file', keptFile]);
  expect(owning).toMatchObject({ exitCode: 4, stdout: expect.stringContaining('encryption-recipients is empty') });

  const planned = await restore(['--identity-file', '-'], kept.file);
  expect(planned, planned.stderr).toMatchObject({ exitCode: 0 });
  const { plan } = planSchema.parse(JSON.parse(planned.stdout));
  expect(await restore([`--confirm=${plan.id}`])).toMatchObject({ exitCode: 4 });
  expect(await story.spare.sql('select one from mine')).toBe('1');
});

test('a restore to a time that was killed goes on without being given the identity again, and leaves none behind', async () => {
  const good = await story.production.sql(rows);
  const time = new Date(
    (await story.production.sql('select pg_sleep(0.1); select now(); select pg_sleep(0.1)')).trim(),
  );
  await story.production.sql('delete from t where n > 100');
  expect(await story.run('check')).toMatchObject({ exitCode: 0 });
  const target = ['--to', `time=${time.toISOString()}`, `--identity-file=${keptFile}`];
  const { plan } = planSchema.parse(JSON.parse((await restore(target)).stdout));

  const running = restoring([`--confirm=${plan.id}`, `--identity-file=${keptFile}`]);
  await until('the identity is at hand', async () => await isThere(identities()));
  expect((await stat(identities())).mode & 0o777).toBe(0o600);
  running.kill('SIGKILL');
  await running;
  let goneOn = await restore(['--continue']);
  // Its child, which had begun to stop, may hold the lock for a moment.
  while (goneOn.exitCode === 9) goneOn = await restore(['--continue']);

  expect(goneOn.exitCode, goneOn.stderr).toBe(0);
  restoredSchema.parse(JSON.parse(goneOn.stdout));
  expect(await story.spare.sql(rows)).toBe(good);
  expect(await isThere(identities())).toBe(false);
});

test('a copy is taken over only where what it stores can be encrypted', async () => {
  const owners = async () => (await objects()).filter((path) => path.endsWith('/owner.json')).length;
  const takeOver = async () => {
    const said = await runCommand(story.machine, ['take-over', '--cluster', '15/spare'], story.spareHome);
    story.said.push(said.stdout, said.stderr);
    return said;
  };

  expect(await takeOver()).toMatchObject({
    exitCode: 4,
    stderr: expect.stringContaining('encryption-recipients is empty'),
  });
  expect(await owners()).toBe(1);

  const { 'encryption-identity': _none, ...options } = encryptionOptions([strange]);
  await writeSettings(story.machine, story.spareHome, { ...options, 'restart-postgresql': 'true' });
  const taken = await takeOver();
  expect(taken, taken.stderr).toMatchObject({ exitCode: 0 });
  expect(await owners()).toBe(2);
});

test('the identity is in no argument, no environment, no output, and in no file but its own', async () => {
  expect([...titles].some((title) => title.includes('--identity-file'))).toBe(true);
  expect([...titles].filter((title) => title.includes(body))).toEqual([]);
  expect(story.said.join('\n')).not.toContain(body);
  const { stdout } = await execa('grep', ['-rlF', body, story.machine.root], { reject: false });
  expect(stdout).toBe(keptFile);
});

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
