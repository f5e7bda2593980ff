import { appendFile, chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { init } from '../../src/jobs/init.ts';
import { leaveCluster } from '../../src/jobs/leave.ts';
import { readNeededBackups } from '../../src/system/needed-backups.ts';
import { jobContext } from '../setup/job-context.ts';
import { becomeOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

let machine: Machine;
let server: TestCluster;

beforeAll(() => {
  becomeOwner();
});

beforeEach(async () => {
  machine = await makeMachine();
  server = await machine.createCluster('main');
});

afterEach(async () => {
  await machine.destroy();
});

const context = async (options: Readonly<Record<string, unknown>> = {}) => await jobContext(machine, server, options);
const start = async (options: Readonly<Record<string, unknown>> = {}, join = false) =>
  await init(await context(options), { join });

/** Every file below a directory with its bytes. */
async function contents(root: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.lock'));
  const read = files.map(
    async (entry) =>
      [join(entry.parentPath, entry.name), await readFile(join(entry.parentPath, entry.name), 'latin1')] as const,
  );
  return Object.fromEntries(await Promise.all(read));
}

/** Runs `init`, expects it to fail, and that nothing was changed at the destination, the home or the configuration. */
async function refused(options: Readonly<Record<string, unknown>>, join = false) {
  const all = async () => ({
    ...(await contents(machine.home)),
    ...(await contents(join0('conf'))),
    ...(await contents(machine.destination).catch(() => ({}))),
  });
  const before = await all();
  const failure: unknown = await start(options, join).catch((error: unknown) => error);
  expect(await all()).toEqual(before);
  if (!isFailure(failure)) throw new Error(`not a failure: ${JSON.stringify(failure)}`);
  return failure;
}

function join0(name: string): string {
  return join(machine.root, name);
}

test('a first init makes the repository, claims the cluster, sets archiving and announces the restart', async () => {
  await server.start();
  const made = await start();
  expect(made).toMatchObject({
    created: true,
    restarted: false,
    standing: {
      is: 'owner',
      incarnation: { number: 1, owner: { application: 'test-host', unit: '15-main', parent: null } },
    },
    archiving: { is: 'restart-needed', waiting: ['archive_mode'] },
  });
  expect(await server.sql('show archive_mode')).toBe('off');
  const owner = await readFile(join(machine.home, '15-main', 'owner.json'), 'utf8');
  const again = await start();
  expect(again).toMatchObject({ created: false, repositoryId: made.repositoryId, standing: { is: 'owner' } });
  expect(await readFile(join(machine.home, '15-main', 'owner.json'), 'utf8')).toBe(owner);
});

test('with consent it restarts the cluster, and a first backup is needed because nobody kept WAL before', async () => {
  await server.start();
  const made = await start({ 'restart-postgresql': true });
  expect(made).toMatchObject({ restarted: true, archiving: { is: 'on' } });
  expect(await server.sql('show archive_mode')).toBe('on');
  expect(await readNeededBackups((await context()).unit)).toMatchObject([
    { reason: 'foreign-archiver', why: 'archiving was off', incarnation: 1 },
  ]);
});

test('two inits at once give one repository and one owner', async () => {
  await server.start();
  const [one, other] = await Promise.all([start(), start()]);
  expect(one.repositoryId).toBe(other.repositoryId);
  expect([one, other].filter(({ created }) => created)).toHaveLength(1);
  expect(one.standing).toEqual(other.standing);
});

test('a cluster that is down is joined, and its settings follow when it runs', async () => {
  expect(await start()).toMatchObject({ standing: { is: 'owner' }, archiving: undefined });
});

test('an interrupted claim is found again', async () => {
  await start();
  const clusters = join(machine.destination, 'clusters');
  await rm(clusters, { recursive: true });
  const before = await readFile(join(machine.home, '15-main', 'owner.json'), 'utf8');
  expect(await start()).toMatchObject({ standing: { is: 'owner', incarnation: { number: 1 } } });
  expect(await readFile(join(machine.home, '15-main', 'owner.json'), 'utf8')).toBe(before);
});

test('the same cluster on another home is a copy: nothing is claimed and nothing archived', async () => {
  await server.start();
  await start();
  const before = await contents(machine.destination);
  await rm(join(machine.home, '15-main'), { recursive: true });
  const copy = await start({ 'restart-postgresql': true });
  expect(copy).toMatchObject({
    standing: { is: 'copy' },
    archiving: { is: 'off', note: 'the cluster is a restored copy' },
    restarted: false,
  });
  expect(await contents(machine.destination)).toEqual(before);
});

test('an empty destination is a settings failure that says where to write it', async () => {
  expect(await refused({ destination: '' })).toMatchObject({
    kind: 'settings',
    message: 'the option destination is empty',
    hint: expect.stringContaining('settings.yaml'),
  });
});

test('a missing directory is refused with the exact command, and not made', async () => {
  const path = join(machine.root, 'nowhere');
  const failure = await refused({ destination: path });
  expect(failure).toMatchObject({ kind: 'unavailable', message: `the destination file://${path} is not there` });
  expect(failure.hint).toContain(`install -d -m 2770 -o postgres -g postgres ${path}`);
  await expect(readdir(path)).rejects.toThrow('ENOENT');
});

test('a file in the place of the destination is refused', async () => {
  const path = join(machine.root, 'file');
  await writeFile(path, '');
  expect(await refused({ destination: path })).toMatchObject({
    kind: 'refused',
    message: `the destination file://${path} is not a directory`,
  });
});

test('a directory that holds other files is refused by the name of one', async () => {
  await writeFile(join(machine.destination, 'holiday.jpg'), 'x');
  expect(await refused({})).toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('is not empty and holds no repository (it has holiday.jpg)'),
    hint: expect.stringContaining('empty directory'),
  });
});

test('a directory that this user may not write is refused with uid, gid and path', async () => {
  await chmod(machine.destination, 0o555);
  const failure = await refused({});
  await chmod(machine.destination, 0o2770);
  expect(failure).toMatchObject({
    kind: 'refused',
    message: `${machine.destination}: permission denied`,
    hint: expect.stringMatching(/uid \d+, gid \d+/),
  });
});

test('once pinned, an empty directory there means that it is not mounted, and nothing is made in it', async () => {
  await start();
  const aside = join(machine.root, 'aside');
  await rename(machine.destination, aside);
  await mkdir(machine.destination);
  expect(await refused({})).toMatchObject({
    kind: 'missing',
    message: `there is no repository at file://${machine.destination}`,
    hint: expect.stringContaining('mounted'),
  });
  expect(await refused({}, true)).toMatchObject({ kind: 'missing' });
  expect(await readdir(machine.destination)).toEqual([]);
});

test('another repository than the pinned one is refused until --join says so', async () => {
  const first = await start();
  const aside = join(machine.root, 'aside');
  await rename(machine.destination, aside);
  await mkdir(machine.destination, { mode: 0o770 });
  await rename(join(machine.home, '15-main'), join(machine.home, 'kept'));
  const second = await start();
  await rm(join(machine.home, '15-main'), { recursive: true });
  await rename(join(machine.home, 'kept'), join(machine.home, '15-main'));
  expect(await refused({})).toMatchObject({
    kind: 'conflict',
    message: `the repository at file://${machine.destination} is ${second.repositoryId}, this machine's is ${first.repositoryId}`,
    hint: expect.stringContaining('landscape-backup init --join'),
  });
  expect(await start({}, true)).toMatchObject({ repositoryId: second.repositoryId, created: false });
  expect(await start()).toMatchObject({ repositoryId: second.repositoryId });
});

test('a repository that the settings name is the only one that is used, and none is created in its place', async () => {
  expect(await refused({ repository: '0'.repeat(32) })).toMatchObject({ kind: 'missing' });
  expect(await readdir(machine.destination)).toEqual([]);
  const { repositoryId } = await start();
  expect(await refused({ repository: '0'.repeat(32) }, true)).toMatchObject({ kind: 'conflict' });
  expect(await start({ repository: repositoryId }, true)).toMatchObject({ repositoryId });
});

test('somebody else who archives is refused before anything is made', async () => {
  await appendFile(
    join(server.cluster.configDirectory, 'postgresql.conf'),
    "archive_mode = on\narchive_command = 'cp %p /tmp/%f'\n",
  );
  await server.start();
  expect(await refused({})).toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('archived by somebody else: archive_command is "cp %p /tmp/%f"'),
  });
  expect(await readdir(machine.destination)).toEqual([]);
});

test('leaving puts the configuration back byte by byte, and coming back goes on as the same owner', async () => {
  const configuration = async () => await contents(join(machine.root, 'conf'));
  const before = await configuration();
  await server.start();
  const first = await start({ 'restart-postgresql': true });
  expect(await configuration()).not.toEqual(before);
  await server.stop();
  expect(await leaveCluster(await context())).toEqual({ note: undefined });
  expect(await configuration()).toEqual(before);
  await server.start();
  expect(await server.sql('show archive_mode')).toBe('off');
  expect(await start()).toMatchObject({ standing: first.standing });
});
