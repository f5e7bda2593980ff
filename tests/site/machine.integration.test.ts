import { execa } from 'execa';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { until } from '../setup/wait.ts';
import { makeSiteMachine, type SiteMachine } from './machine.ts';

const made: SiteMachine[] = [];
let folder: string;

async function make(name: string, shared: Readonly<Record<string, string>> = {}): Promise<SiteMachine> {
  const machine = await makeSiteMachine({ name, shared });
  made.push(machine);
  return machine;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lb-site-'));
});
afterEach(async () => {
  for (const machine of made.splice(0)) await machine.destroy();
  await rm(folder, { recursive: true });
});

test('a machine has its own name, processes, temporary files and machine id, and lacks what only the host has', async () => {
  await writeFile(join(folder, 'of the host'), '');
  const [one, two] = [await make('one'), await make('two')];

  expect(await one.run(['hostname'])).toBe('one');
  expect(await one.run(['getent', 'hosts', 'one'])).toContain(one.address);
  expect(await one.run(['sh', '-c', 'ps -o args= -p 1'])).toContain('init');
  expect((await one.read('/etc/machine-id')).trim()).toMatch(/^[0-9a-f]{32}$/);
  expect(await one.read('/etc/machine-id')).not.toBe(await two.read('/etc/machine-id'));
  expect(one.address).not.toBe(two.address);
  expect(await one.run(['ls', '-A', '/tmp', '/etc/postgresql', '/opt', '/home'])).not.toMatch(/\w{3,} of the host/);
  expect((await one.execute(['ls', folder])).exitCode).not.toBe(0);
  expect((await one.execute(['sh', '-c', 'command -v node'])).exitCode).toBe(127);
});

test('what one machine writes is seen neither by another nor by the host', async () => {
  const [one, two] = [await make('one'), await make('two')];
  const paths = ['/etc/of-one', '/var/lib/of-one', '/opt/of-one', '/usr/lib/of-one', '/run/of-one', '/srv/of-one'];

  for (const path of paths) await one.write(path, 'one');

  for (const path of paths) {
    expect(await one.read(path)).toBe('one');
    expect((await two.execute(['test', '-e', path])).exitCode).toBe(1);
    expect((await execa('test', ['-e', path], { reject: false })).exitCode).toBe(1);
  }
});

test('machines that share a directory write into the same one', async () => {
  await mkdir(join(folder, 'destination'));
  const shared = { '/srv/backup': join(folder, 'destination') };
  const [one, two] = [await make('one', shared), await make('two', shared)];

  await one.write('/srv/backup/sub/file', 'by one');

  expect(await two.read('/srv/backup/sub/file')).toBe('by one');
  expect(await readFile(join(folder, 'destination', 'sub', 'file'), 'utf8')).toBe('by one');
});

test('a program gets what it is given and nothing of the test, and its end is told as a shell would', async () => {
  const machine = await make('one');

  const shown = await machine.run(['sh', '-c', 'id -un; pwd; env; cat'], {
    env: { JUJU_UNIT_NAME: 'x/0' },
    cwd: '/var/lib/postgresql',
    input: 'the input',
    user: 'postgres',
  });
  expect(shown.split('\n').filter((line) => !/^(PWD|_)=/.test(line))).toEqual([
    'postgres',
    '/var/lib/postgresql',
    expect.stringMatching(/^(PATH|JUJU_UNIT_NAME)=/),
    expect.stringMatching(/^(PATH|JUJU_UNIT_NAME)=/),
    'the input',
  ]);
  expect(await machine.execute(['sh', '-c', 'echo no >&2; exit 7'])).toEqual({
    exitCode: 7,
    stdout: '',
    stderr: 'no\n',
  });
  expect((await machine.execute(['sh', '-c', 'kill -KILL $$'])).exitCode).toBe(137);
  await expect(machine.execute(['sleep', '60'], { timeoutMs: 200 })).rejects.toThrow('did not end within 200 ms');
  await until('the sleeper is gone', async () => !(await machine.run(['ps', 'ax'])).includes('sleep 60'));
});

test('a file is written with its owner and mode, and a directory of the host is copied as root', async () => {
  const machine = await make('one');
  await mkdir(join(folder, 'charm'));
  await writeFile(join(folder, 'charm', 'dispatch'), 'text', { mode: 0o755 });

  await machine.write('/etc/some/secret', 'text', { mode: 0o600, owner: 'postgres:postgres' });
  await machine.copyIn(join(folder, 'charm'), '/var/lib/juju/agents/unit-x-0/charm');

  expect(await machine.run(['stat', '-c', '%U:%G %a', '/etc/some/secret'])).toBe('postgres:postgres 600');
  const copied = '/var/lib/juju/agents/unit-x-0/charm/dispatch';
  expect(await machine.run(['stat', '-c', '%U:%G %a', copied])).toBe('root:root 755');
});

test('a power cut takes every process and what is in memory; a boot finds the disk as it was', async () => {
  const machine = await make('one');
  await machine.write('/var/lib/kept', 'kept');
  await machine.write('/run/lost', 'lost');
  const sleeper = machine.execute(['sleep', '1000'], { timeoutMs: 60_000 });
  await until('it sleeps', async () => (await machine.run(['ps', 'ax'])).includes('sleep 1000'));
  const id = await machine.read('/etc/machine-id');

  await machine.powerCut();
  expect((await sleeper).exitCode).toBe(137);
  await expect(machine.execute(['true'])).rejects.toThrow('the machine one is down');
  await machine.boot();

  expect(await machine.read('/var/lib/kept')).toBe('kept');
  expect(await machine.read('/etc/machine-id')).toBe(id);
  expect((await machine.execute(['test', '-e', '/run/lost'])).exitCode).toBe(1);
  expect(await machine.run(['ps', 'ax'])).not.toContain('sleep 1000');
});

test('an orphan that ends is taken leave of', async () => {
  const machine = await make('one');

  await machine.run(['sh', '-c', '(sleep 0.2 &) >/dev/null 2>&1']);

  await until('it is gone', async () => !/sleep 0.2|defunct/.test(await machine.run(['ps', 'ax'])));
});

/** What a host shows of the machine with this name: its processes, its mounts and its control groups. */
async function tracesOf(name: string): Promise<readonly string[]> {
  const [mounts, { stdout: processes }, { stdout: groups }] = await Promise.all([
    readFile('/proc/self/mounts', 'utf8'),
    execa('ps', ['-eo', 'pid,args']),
    execa('find', ['/sys/fs/cgroup', '-name', `landscape-backup-site-${name}-*`]),
  ]);
  const lines = [...mounts.split('\n').filter((line) => line.startsWith('site-')), ...processes.split('\n')];
  return [...lines.filter((line) => line.startsWith('site-') || line.includes(name)), ...groups.split('\n')].filter(
    (line) => line !== '' && !line.includes('leave.child.ts'),
  );
}

test('a machine that is destroyed leaves nothing on the host', async () => {
  const before = await readdir('/tmp');
  const machine = await make('leaves-nothing');
  await machine.write('/tmp/of leaves-nothing', '');
  void machine.execute(['sh', '-c', 'sleep 1000; : leaves-nothing']);
  await until('it sleeps', async () => (await machine.run(['ps', 'ax'])).includes('sleep 1000'));
  expect((await tracesOf('leaves-nothing')).length).toBeGreaterThan(3);

  await machine.destroy();

  expect(await tracesOf('leaves-nothing')).toEqual([]);
  expect((await readdir('/tmp')).filter((name) => !before.includes(name) && name.includes('leaves'))).toEqual([]);
});

test('a machine dies with the process that made it, and leaves nothing either', async () => {
  const maker = execa('node', [join(import.meta.dirname, 'leave.child.ts'), 'left-alone'], { reject: false });
  const said = await new Promise<string>((found) => maker.stdout.once('data', (chunk) => found(String(chunk))));
  expect(said).toBe('sleeps\n');
  expect((await tracesOf('left-alone')).length).toBeGreaterThan(3);

  maker.kill('SIGKILL');
  await maker;

  await until('nothing is left', async () => (await tracesOf('left-alone')).length === 0, 10);
});
