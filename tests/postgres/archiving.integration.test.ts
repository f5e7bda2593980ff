import { appendFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, afterEach, expect, test } from 'vitest';
import { archiveCommand, type ArchivingWish } from '../../src/core/archiving-decision.ts';
import { archivingFile } from '../../src/postgres/archiving-file.ts';
import { removeOurSettings } from '../../src/postgres/archiving-removal.ts';
import { applyArchiving, forgetLost } from '../../src/postgres/archiving.ts';
import { autoConfigurationFile } from '../../src/postgres/auto-configuration.ts';
import { unitFolder, type UnitFolder } from '../../src/system/home.ts';
import { asOwner, becomeOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

let machine: Machine;
let server: TestCluster;
let unit: UnitFolder;
let wish: ArchivingWish;
let count = 0;

beforeAll(async () => {
  becomeOwner();
  machine = await makeMachine();
});

afterAll(async () => {
  await machine.destroy();
});

beforeEach(async () => {
  count += 1;
  server = await machine.createCluster(`c${count}`);
  unit = unitFolder(machine.home, server.cluster.unit);
  await mkdir(unit.path, { mode: 0o700 });
  const command = archiveCommand('/opt/lb', unit.path);
  wish = { walArchiving: true, walMethod: 'archive', standing: 'owner', command, timeoutSeconds: 61 };
});

afterEach(async () => {
  await server.stop('immediate');
});

const now = new Date('2026-11-24T02:00:00Z');
const configuration = () => join(server.cluster.configDirectory, 'postgresql.conf');
const apply = async (change: Partial<ArchivingWish> = {}) =>
  await applyArchiving(await server.look(), unit, { ...wish, ...change }, now);
const show = async (name: string) => await server.sql(`show ${name}`);

/** The bytes of every configuration file: what a refusal must leave as it was. */
async function snapshot(): Promise<readonly (string | undefined)[]> {
  const files = [configuration(), archivingFile(server.cluster), autoConfigurationFile(server.cluster), unit.found];
  return await Promise.all(files.map(async (file) => await readFile(file, 'utf8').catch(() => undefined)));
}

test('a fresh cluster gets our file, waits for its restart and then archives by it', async () => {
  await server.start();
  expect(await apply()).toMatchObject({ is: 'restart-needed', waiting: ['archive_mode'], lostBefore: undefined });
  const { mode } = await stat(archivingFile(server.cluster));
  expect(mode & 0o777).toBe(0o644);
  await server.stop();
  await server.start();
  expect(await apply()).toMatchObject({
    is: 'on',
    waiting: [],
    note: undefined,
    lostBefore: { why: 'archiving was off' },
  });
  await forgetLost(unit);
  expect(await apply()).toMatchObject({ is: 'on', lostBefore: undefined });
  expect(await show('archive_command')).toBe(wish.command);
  expect(await show('archive_timeout')).toBe('61s');
  expect(await readFile(autoConfigurationFile(server.cluster), 'utf8')).not.toContain('archive');
  const before = await snapshot();
  await apply();
  expect(await snapshot()).toEqual(before);
});

test('a line at the end of postgresql.conf is overridden for exactly its name, and stands again when we leave', async () => {
  await appendFile(configuration(), "archive_mode = on\narchive_command = '/bin/true'\n");
  await server.start();
  const outcome = await apply();
  expect(outcome).toMatchObject({
    is: 'on',
    lostBefore: { why: 'archive_command was "/bin/true", which throws WAL away' },
  });
  expect(outcome.note).toContain('archive_command had to be set with ALTER SYSTEM');
  await forgetLost(unit);
  expect(await show('archive_command')).toBe(wish.command);
  const auto = await readFile(autoConfigurationFile(server.cluster), 'utf8');
  expect(auto.match(/^\w+ =/gm)).toEqual(['archive_command =']);
  expect(await apply({ timeoutSeconds: 62 })).toMatchObject({ is: 'on', lostBefore: undefined });
  expect(await show('archive_timeout')).toBe('62s');

  expect(await removeOurSettings(await server.look(), unit)).toBeUndefined();
  expect(await show('archive_command')).toBe('/bin/true');
  expect(await readFile(autoConfigurationFile(server.cluster), 'utf8')).not.toContain('archive');
  await expect(stat(archivingFile(server.cluster))).rejects.toThrow('ENOENT');
  await expect(stat(unit.found)).rejects.toThrow('ENOENT');
});

test('a value that ALTER SYSTEM had before us comes back, with the server up and with it down', async () => {
  await appendFile(configuration(), 'archive_mode = on\n');
  await server.start();
  await server.sql("alter system set archive_command = '/bin/true'");
  await server.sql("alter system set archive_timeout = '9min'");
  await server.sql('select pg_reload_conf()');
  const before = await readFile(autoConfigurationFile(server.cluster), 'utf8');
  const sorted = (text: string) => text.split('\n').sort();
  for (const isUp of [true, false]) {
    expect(await apply()).toMatchObject({ is: 'on' });
    expect(await show('archive_command')).toBe(wish.command);
    if (!isUp) await server.stop();
    await removeOurSettings(await server.look(), unit);
    expect(sorted(await readFile(autoConfigurationFile(server.cluster), 'utf8'))).toEqual(sorted(before));
  }
  expect((await stat(autoConfigurationFile(server.cluster))).mode & 0o777).toBe(0o600);
  await server.start();
  expect(await show('archive_command')).toBe('/bin/true');
  expect(await show('archive_timeout')).toBe('9min');
});

test('without an include of conf.d every setting goes through ALTER SYSTEM and comes off with the server down', async () => {
  const text = await readFile(configuration(), 'utf8');
  await writeFile(
    configuration(),
    text.replace(/^include_dir.*$/m, '') +
      `unix_socket_directories = '${server.cluster.socketDirectory}'\nlisten_addresses = ''\n`,
  );
  await server.start();
  expect(await apply()).toMatchObject({ is: 'restart-needed' });
  await server.stop();
  await server.start();
  expect(await apply()).toMatchObject({ is: 'on' });
  await server.stop('immediate');
  expect(await removeOurSettings(await server.look(), unit)).toBeUndefined();
  expect(await readFile(autoConfigurationFile(server.cluster), 'utf8')).not.toContain('archive');
  await server.start();
  expect(await show('archive_mode')).toBe('off');
});

test.each([
  [
    'a foreign command in postgresql.conf',
    "archive_mode = on\narchive_command = 'cp %p /tmp/%f'\n",
    'archive_command is "cp %p /tmp/%f"',
  ],
  ['a foreign library', "archive_mode = on\narchive_library = 'basic_archive'\n", 'archive_library is "basic_archive"'],
])('%s is refused with nothing changed', async (_, lines, why) => {
  await appendFile(configuration(), lines);
  await server.start();
  const before = await snapshot();
  const failure = await apply().catch((error: unknown) => error);
  expect(failure).toMatchObject({ kind: 'refused', hint: expect.stringContaining('remove its setting') });
  expect(String(failure)).toContain(`the cluster ${server.cluster.label} is archived by somebody else: ${why}`);
  expect(String(failure)).toContain('postgresql.conf line');
  expect(await snapshot()).toEqual(before);
});

test('somebody else who archived in between leaves a need for a new backup when ours is effective again', async () => {
  await appendFile(configuration(), 'archive_mode = on\n');
  await server.start();
  await apply();
  await server.sql("alter system set archive_command = 'cp %p /tmp/%f'");
  await server.sql('select pg_reload_conf()');
  await expect(apply()).rejects.toMatchObject({ kind: 'refused' });
  expect(await show('archive_command')).toBe('cp %p /tmp/%f');
  await server.sql('alter system reset archive_command');
  await server.sql('select pg_reload_conf()');
  const again = await apply();
  expect(again.lostBefore?.why).toContain('cp %p /tmp/%f');
  await forgetLost(unit);
  expect((await apply()).lostBefore).toBeUndefined();
});

test.each([
  ['copy', {}],
  ['owner', { walArchiving: false }],
] as const)(
  'a %s that is not to be archived loses our settings, and its disk does not fill until the restart',
  async (standing, change) => {
    await server.start();
    await apply();
    await server.stop();
    await server.start();
    expect(await apply()).toMatchObject({ is: 'on' });
    const outcome = await apply({ standing, ...change });
    expect(outcome.is).toBe('off');
    expect(outcome.note).toContain('goes off with its next restart; until then');
    expect(await show('archive_command')).toBe('/bin/true');
    expect(await apply({ standing, ...change })).toMatchObject({ is: 'off' });
    expect(await show('archive_command')).toBe('/bin/true');
    await server.stop();
    await server.start();
    expect(await apply({ standing, ...change })).toMatchObject({
      is: 'off',
      note: expect.not.stringContaining('restart'),
    });
    expect(await show('archive_mode')).toBe('off');
    await expect(stat(archivingFile(server.cluster))).rejects.toThrow('ENOENT');
  },
);

test('a restored copy whose postgresql.auto.conf carries our command loses it', async () => {
  await appendFile(configuration(), 'archive_mode = on\n');
  await appendFile(
    autoConfigurationFile(server.cluster),
    `archive_command = '${archiveCommand('/opt/other', '/far/15-main').replaceAll("'", "''")}'\n`,
  );
  await server.start();
  expect(await show('archive_command')).toContain('/far/15-main');
  await apply({ standing: 'copy' });
  expect(await show('archive_command')).toBe('');
});

test('an error in another line is told with its line, for a reload would change nothing', async () => {
  await server.start();
  await appendFile(configuration(), "no_such_parameter = '1'\n");
  await expect(apply()).rejects.toMatchObject({
    kind: 'postgres',
    message: expect.stringMatching(/can't read .*postgresql.conf line \d+: unrecognized/),
  });
});

test('a setting on the command line of the server is refused by its name', async () => {
  const { binaries, dataDirectory, logFile } = server.cluster;
  const options = `-c config_file=${configuration()} -c archive_mode=off`;
  await asOwner(join(binaries, 'pg_ctl'), ['-D', dataDirectory, '-l', logFile, '-o', options, '-w', 'start']);
  const failure = await apply().catch((error: unknown) => error);
  expect(failure).toMatchObject({ kind: 'refused', hint: expect.stringContaining('pg_ctl.conf') });
  expect(String(failure)).toContain('archive_mode of the cluster');
});
