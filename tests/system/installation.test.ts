import { execa } from 'execa';
import { chown, lstat, mkdir, readdir, readFile, readlink, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { machineClock } from '../../src/system/clock.ts';
import { installUnit, openJobs, removeUnit } from '../../src/system/installation.ts';
import { machinePaths, placesOf } from '../../src/system/machine-paths.ts';
import { installedMachine, type InstalledMachine } from './installed-machine.ts';

let machine: InstalledMachine;
beforeEach(async () => {
  machine = await installedMachine();
});
afterEach(async () => {
  await machine.destroy();
});

const first = 'landscape-backup/0';
const second = 'landscape-backup/1';
const install = async (unit = first, due: readonly string[] = ['run-due']) =>
  await installUnit(machine.paths, { unit, charmDirectory: machine.charm, due });
const remove = async (unit = first, kept: readonly string[] = []) => await removeUnit(machine.paths, unit, kept);
const command = () => join(machine.paths.commands, 'landscape-backup');
const says = async (program: string) => (await execa(program)).stdout;
const unitFile = async (name: string) => await readFile(join(machine.paths.systemdUnits, name), 'utf8');
const versions = async (unit = first) => await readdir(placesOf(machine.paths, unit).versions);

test('what is installed lies outside of the charm, and its programs run', async () => {
  expect(await install()).toEqual({ runtimeChanged: true, notes: [] });

  const { home, runtime } = placesOf(machine.paths, first);
  expect(await says(command())).toBe('1');
  expect(dirname(await realpath(runtime))).toBe(join(dirname(runtime), 'versions'));
  expect((await lstat(home)).mode & 0o777).toBe(0o755);
  const job = await unitFile('landscape-backup-landscape-backup-0-job@.service');
  expect(job).toContain(`ExecStart=${runtime}/bin/landscape-backup run-job %i --home ${home}\n`);
  expect(job).not.toMatch(/@[A-Z]+@/);
  expect(await unitFile('landscape-backup-landscape-backup-0-due.service')).toContain(
    `ExecStart=${runtime}/bin/landscape-backup run-due --home ${home}\n`,
  );
  expect(await machine.told()).toEqual([
    'daemon-reload',
    'show --property=ActiveState,UnitFileState landscape-backup-landscape-backup-0-due.timer',
    'enable --now landscape-backup-landscape-backup-0-due.timer',
  ]);
});

test('what is installed already is left alone, and systemd reads its files again only when one has changed', async () => {
  await install();
  const before = await machine.files();
  await machine.told();
  await machine.systemctl('case $1 in show) printf "ActiveState=active\\nUnitFileState=enabled\\n" ;; esac');
  expect(await install()).toEqual({ runtimeChanged: false, notes: [] });
  expect(await machine.told()).not.toContain('daemon-reload');
  expect(await machine.files()).toEqual(before);

  await install(first, ['run-due', 'landscape-due']);
  expect(await machine.told()).toContain('daemon-reload');
  expect(await unitFile('landscape-backup-landscape-backup-0-due.service')).toMatch(
    /^ExecStart=-\S+ run-due .*\nExecStart=\S+ landscape-due /m,
  );
});

test.each([
  ['stopped', 'inactive', 'enabled'],
  ['disabled', 'active', 'disabled'],
  ['not known', 'inactive', ''],
])('a timer that is %s runs again, and one that is kept is left alone', async (_, active, file) => {
  const says = (state: string, fileState: string) =>
    `case $1 in show) printf 'ActiveState=${state}\\nUnitFileState=${fileState}\\n' ;; esac`;
  const enable = 'enable --now landscape-backup-landscape-backup-0-due.timer';
  await machine.systemctl(says(active, file));
  await install();
  await machine.told();
  await install();
  expect(await machine.told()).toContain(enable);
  await machine.systemctl(says('active', 'enabled'));
  await install();
  expect(await machine.told()).not.toContain(enable);
});

test('an upgrade puts the new runtime in force and keeps exactly the one before', async () => {
  await install();
  const one = await versions();
  await machine.release('2');
  expect(await install()).toMatchObject({ runtimeChanged: true });
  expect(await says(command())).toBe('2');
  expect(await versions()).toEqual(expect.arrayContaining([...one]));
  expect(await install()).toMatchObject({ runtimeChanged: false });
  expect(await versions()).toHaveLength(2);
  await machine.release('3');
  await install();
  expect(await says(command())).toBe('3');
  expect(await versions()).toHaveLength(2);
  expect(await versions()).not.toEqual(expect.arrayContaining([...one]));
});

test('a runtime that was damaged since is mended', async () => {
  await install();
  await writeFile(join(placesOf(machine.paths, first).runtime, 'lib', 'program.js'), 'damaged');
  await install();
  expect(await readFile(join(placesOf(machine.paths, first).runtime, 'lib', 'program.js'), 'utf8')).toBe("'1'\n");
});

test('killed at any instant an upgrade leaves the old or the new runtime whole, and the next call ends it', async () => {
  await machine.release('old', 8);
  await install();
  for (let round = 0; round < 12; round += 1) {
    const version = `v${round}`;
    const inForce = await says(command());
    await machine.release(version, 8);
    const args = [join(import.meta.dirname, 'install.child.ts'), JSON.stringify(machine.paths), machine.charm, first];
    const child = execa(process.execPath, args, { reject: false });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await sleep(Math.random() * 120);
    child.kill('SIGKILL');
    await child;

    const found = await says(command());
    expect([inForce, version]).toContain(found);
    const node = await readFile(join(placesOf(machine.paths, first).runtime, 'bin', 'node'));
    expect(node.equals(Buffer.alloc(8 * 1024 * 1024, found)), `round ${round}`).toBe(true);
    if (round % 3 === 2) {
      await install();
      expect(await says(command())).toBe(version);
      expect(await versions()).toHaveLength(2);
      expect((await readdir(dirname(placesOf(machine.paths, first).runtime))).toSorted()).toEqual([
        'previous',
        'runtime',
        'versions',
      ]);
    }
  }
});

test('who is interrupted before systemd has read a file has it read the next time', async () => {
  await machine.systemctl('exit 1');
  await expect(install()).rejects.toMatchObject({ kind: 'machine' });
  await machine.systemctl('');
  await machine.told();
  await install();
  expect(await machine.told()).toContain('daemon-reload');
});

test('a unit with nothing to do has no timer, and loses the one it had', async () => {
  await install();
  await machine.told();
  await install(first, []);
  expect((await readdir(machine.paths.systemdUnits)).toSorted()).toEqual([
    'landscape-backup-landscape-backup-0-job@.service',
  ]);
  expect(await machine.told()).toEqual([
    'disable --now landscape-backup-landscape-backup-0-due.timer',
    'daemon-reload',
  ]);
});

test("the command is left to whoever has it: somebody else's stays, and is told", async () => {
  await mkdir(machine.paths.commands, { recursive: true });
  await writeFile(command(), 'theirs');
  expect((await install()).notes).toEqual([`${command()} is somebody else's, and stays`]);
  await remove();
  expect(await readFile(command(), 'utf8')).toBe('theirs');
  await rm(command());
  await symlink('/elsewhere/landscape-backup', command());
  expect((await install()).notes).toEqual([`${command()} points to /elsewhere/landscape-backup, and stays`]);
  expect(await readlink(command())).toBe('/elsewhere/landscape-backup');
});

describe('two units on one machine', () => {
  beforeEach(async () => {
    await install(first);
    await install(second);
  });

  test('share nothing but the command, which goes to the other when its owner leaves', async () => {
    const ofSecond = (await machine.files()).filter((path) => path.includes('landscape-backup-1'));
    expect(await readlink(command())).toContain('landscape-backup-0');
    expect(await remove(first)).toEqual({ stays: [], problems: [] });
    expect(await readlink(command())).toContain('landscape-backup-1');
    expect(await says(command())).toBe('1');
    expect((await machine.files()).filter((path) => path !== 'usr/local/bin/landscape-backup')).toEqual(ofSecond);
  });

  test.each([
    [first, second],
    [second, first],
  ])('leave nothing behind when %s goes first and %s then', async (one, other) => {
    await remove(one);
    await remove(other);
    await remove(one);
    expect(await machine.files()).toEqual([]);
    expect(await readdir(join(machine.root, 'opt'))).toEqual([]);
    expect(await readdir(join(machine.root, 'var/lib'))).toEqual([]);
  });
});

test('removal stops what runs, and goes on where a step fails', async () => {
  await install();
  await machine.told();
  await machine.systemctl('[ "$1" != daemon-reload ] || exit 1');
  const { problems } = await remove();
  expect(problems).toEqual([expect.stringContaining('systemctl ended with exit code 1')]);
  expect(await machine.told()).toEqual([
    'stop landscape-backup-landscape-backup-0-due.timer landscape-backup-landscape-backup-0-due.service landscape-backup-landscape-backup-0-job@*.service',
    'disable landscape-backup-landscape-backup-0-due.timer',
    'daemon-reload',
  ]);
  expect(await machine.files()).toEqual([]);
});

test('removal of what was never installed, or only in part, is no failure', async () => {
  expect(await remove()).toEqual({ stays: [], problems: [] });
  await install();
  await rm(machine.paths.systemdUnits, { recursive: true });
  expect(await remove()).toEqual({ stays: [], problems: [] });
  expect(await machine.files()).toEqual([]);
});

describe.runIf(process.getuid?.() === 0)('of the folder of a cluster, as root,', () => {
  const uid = 65534;
  async function clusterFolder(files: Readonly<Record<string, string>>): Promise<string> {
    const { home } = placesOf(machine.paths, first);
    await install();
    await writeFile(join(home, 'settings.yaml'), 'destination: /srv/backup\n');
    const folder = join(home, '15-main');
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
      for (const path of [dirname(join(folder, name)), join(folder, name)]) await chown(path, uid, uid);
    }
    await chown(folder, uid, uid);
    return folder;
  }

  test('everything goes: plans, owner id, journal', async () => {
    await clusterFolder({
      'owner.json': '{}',
      'plans/p.json': '{}',
      'restore/state.json': '{"stage":"done","oldKept":false}',
    });
    expect(await remove()).toEqual({ stays: [], problems: [] });
    expect(await machine.files()).toEqual([]);
  });

  test('WAL that the repository refused stays, and the rest goes', async () => {
    const folder = await clusterFolder({ 'owner.json': '{}', 'rejected/000000010000000000000001': 'wal' });
    expect((await remove()).stays).toEqual([`${folder}/rejected stays: WAL that the repository refused lies in it`]);
    expect((await machine.files()).map((path) => basename(path))).toEqual(['000000010000000000000001']);
  });

  test.each([
    ['that has kept the old contents', '{"stage":"done","oldKept":true}'],
    ['that is under way', '{"stage":"unpack","oldKept":true}'],
    ['of which nobody knows', '{'],
  ])('the records of a restore %s stay', async (_what, state) => {
    const folder = await clusterFolder({ 'owner.json': '{}', 'restore/state.json': state });
    expect((await remove()).stays).toEqual([`${folder} stays: a restore set old contents aside, and it says where`]);
    expect((await machine.files()).map((path) => basename(path))).toEqual(['owner.json', 'state.json']);
  });

  test('a link that its owner made leads root nowhere', async () => {
    const folder = await clusterFolder({ 'owner.json': '{}' });
    const victim = join(machine.root, 'victim');
    await mkdir(victim);
    await writeFile(join(victim, 'precious'), '');
    await symlink(victim, join(folder, 'plans'));
    await remove();
    expect(await readdir(victim)).toEqual(['precious']);
    expect(await machine.files()).toEqual([]);
  });

  test('what the caller names stays', async () => {
    const { home } = placesOf(machine.paths, first);
    await install();
    await mkdir(join(home, 'landscape'));
    await writeFile(join(home, 'landscape', 'service.conf'), '');
    expect((await remove(first, ['landscape'])).stays).toHaveLength(1);
    expect(await machine.files()).toEqual(['var/lib/landscape-backup/landscape-backup-0/landscape/service.conf']);
  });
});

test('jobs are run by systemd where it runs the machine, else as processes of the installed runtime', async () => {
  await install();
  await machine.told();
  const id = await (await openJobs(machine.paths, first, machineClock)).start(['backup']);
  expect(await machine.told()).toEqual([`start --no-block landscape-backup-landscape-backup-0-job@${id}.service`]);

  const bare = { ...machine.paths, systemdRuns: join(machine.root, 'nothing') };
  const jobs = await openJobs(bare, second, machineClock);
  await expect(jobs.start(['backup'])).rejects.toMatchObject({ kind: 'machine' });
  await installUnit(bare, { unit: second, charmDirectory: machine.charm, due: ['run-due'] });
  const other = await jobs.start(['backup']);
  expect(await machine.told()).toEqual([]);
  expect(await jobs.look(other)).toMatchObject({ verb: 'backup' });
});

test("the unit's timer does what the one that is installed by hand does", async () => {
  const by = (name: string) => join(import.meta.dirname, '..', '..', 'charm', 'systemd', name);
  const values: Readonly<Record<string, string>> = {
    DESCRIPTION: 'Backups, pruning and witnesses of landscape-backup that are due',
    DUE: 'ExecStart=/opt/landscape-backup/bin/landscape-backup run-due',
  };
  const filled = (await readFile(by('unit/due.service'), 'utf8')).replaceAll(
    /@([A-Z]+)@/g,
    (_, name: string) => values[name] ?? '',
  );
  expect(filled).toBe(await readFile(by('landscape-backup-due.service'), 'utf8'));
});

test('systemd understands what is installed', async () => {
  await install();
  const names = (await readdir(machine.paths.systemdUnits)).filter((name) => /\.(service|timer)$/.test(name));
  // The machine's own units need not be there; what is wrong in ours is said with its file's name.
  const { stderr, stdout } = await execa(
    'systemd-analyze',
    ['verify', ...names.map((name) => join(machine.paths.systemdUnits, name.replace('@.', '@x.')))],
    { reject: false },
  );
  const ours = `${stdout}\n${stderr}`.split('\n').filter((line) => line.includes('landscape-backup-landscape-backup'));
  expect(ours).toEqual([]);
});

test('the machine itself is the one that paths are made for', () => {
  expect(placesOf(machinePaths, first)).toEqual({
    home: '/var/lib/landscape-backup/landscape-backup-0',
    versions: '/opt/landscape-backup/landscape-backup-0/versions',
    archiver: 'landscape-backup-landscape-backup-0-archiver',
    archiverUnread: '/opt/landscape-backup/landscape-backup-0/archiver-unread',
    runtime: '/opt/landscape-backup/landscape-backup-0/runtime',
    jobTemplate: 'landscape-backup-landscape-backup-0-job',
    due: 'landscape-backup-landscape-backup-0-due',
  });
});
