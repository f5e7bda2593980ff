import { afterEach, expect, test } from 'vitest';
import { landscapeServices } from './landscape-files.ts';
import { landscapeActions, landscapeDatabaseChanged, landscapeHooks, makeLandscapeHost } from './landscape-host.ts';
import { makeSiteMachine, type SiteMachine } from './machine.ts';
import { makePostgresqlHost } from './postgresql-host.ts';

const made: SiteMachine[] = [];

async function make(name: string): Promise<SiteMachine> {
  const machine = await makeSiteMachine({ name });
  made.push(machine);
  return machine;
}

afterEach(async () => {
  for (const machine of made.splice(0)) await machine.destroy();
});

const leaders = ['landscape-package-search', 'landscape-package-upload'];
const everywhere = landscapeServices.filter((service) => !leaders.includes(service)).sort();
const all = [...landscapeServices].sort();

test('a charmed unit has its files with their owners and modes, its package and running services', async () => {
  const host = await makeLandscapeHost(await make('one'), { version: '24.04.11-0landscape0', uid: 777 });

  const stat = async (path: string) => await host.machine.run(['stat', '-c', '%U:%G %a', path]);
  expect(await stat('/etc/landscape/service.conf')).toBe('landscape:landscape 640');
  expect(await stat('/etc/landscape/license.txt')).toBe('landscape:root 640');
  expect(await stat('/var/lib/landscape-server/gnupg')).toBe('landscape:landscape 700');
  expect(await host.machine.run(['id', '-u', 'landscape'])).toBe('777');
  const version = ['dpkg-query', '--show', '--showformat=${Version}', 'landscape-server'] as const;
  expect(await host.machine.run(version)).toBe('24.04.11-0landscape0');
  expect(await host.running()).toEqual(all);
  const hosts = new Set((await host.connections()).map((line) => line.split(' ')[1]));
  expect([...hosts]).toEqual(['database.production.example.com:5432']);
  expect((await host.machine.execute(['ls', '/etc/apache2'])).exitCode).not.toBe(0);
});

test('a quickstart host has its web server, certificate and comments instead', async () => {
  const host = await makeLandscapeHost(await make('one'), { profile: 'quickstart' });

  expect(await host.machine.read('/etc/apache2/sites-enabled/production.example.com.conf')).toContain('ServerName');
  expect(await host.machine.read('/etc/landscape/service.conf')).toMatch(/^# The administrator of production/);
  expect(await host.machine.read('/etc/default/landscape-server')).toContain('RUN_ALL="yes"');
  expect((await host.machine.execute(['ls', '/etc/landscape/license.txt'])).exitCode).not.toBe(0);
});

test('paused services stay down over config-changed, but a leader starts two of them at a peer event', async () => {
  const host = await makeLandscapeHost(await make('one'));
  await landscapeActions.pause(host.machine);
  expect(await host.running()).toEqual([]);
  expect(await host.machine.read('/opt/canonical/landscape/maintenance.txt')).toContain('maintenance');

  await landscapeHooks['config-changed'](host.machine);
  expect(await host.running()).toEqual([]);
  expect(await host.machine.read('/etc/landscape/service.conf')).toContain(
    'root-url = https://configured.example.com/',
  );
  expect(await host.machine.read('/etc/landscape/service.conf')).toContain('secret-token = secret token of production');
  expect(await host.machine.run(['stat', '-c', '%U %a', '/etc/landscape/service.conf'])).toBe('landscape 640');
  await landscapeHooks['replicas-relation-changed'](host.machine);
  expect(await host.running()).toEqual(leaders);

  await landscapeActions.resume(host.machine);
  expect(await host.running()).toEqual(all);
  expect((await host.machine.execute(['ls', '/opt/canonical/landscape/maintenance.txt'])).exitCode).not.toBe(0);
});

test('services that were stopped but not paused are started by the next hook, unless a condition forbids it', async () => {
  const host = await makeLandscapeHost(await make('one'));
  await host.machine.run(['lsctl', 'stop']);
  await landscapeHooks['config-changed'](host.machine);
  expect(await host.running()).toEqual(all);

  await host.machine.run(['lsctl', 'stop']);
  for (const service of landscapeServices) {
    const fence = `/etc/systemd/system/${service}.service.d/zz-fence.conf`;
    await host.machine.write(fence, '[Unit]\nConditionPathExists=!/var/lib/fence\n');
  }
  await host.machine.write('/var/lib/fence', '');
  await host.machine.run(['systemctl', 'daemon-reload']);
  const before = await host.connections();
  await landscapeHooks['config-changed'](host.machine);
  await landscapeHooks['leader-elected'](host.machine);
  await landscapeActions.resume(host.machine);
  await host.machine.powerCut();
  await host.machine.boot();

  expect(await host.running()).toEqual([]);
  expect(await host.connections()).toEqual(before);
});

test('a unit that does not lead has its leader services masked until it does', async () => {
  const host = await makeLandscapeHost(await make('one'), { isLeader: false });
  expect(await host.running()).toEqual(everywhere);
  expect((await host.machine.execute(['systemctl', 'start', 'landscape-package-search'])).exitCode).toBe(1);

  await landscapeHooks['leader-elected'](host.machine);

  expect(await host.running()).toEqual(all);
});

test('a new database is written down, and package ids are named by the identity that is found in it', async () => {
  const database = await makePostgresqlHost(await make('database'));
  const host = await makeLandscapeHost(await make('one'), { serverUuid: '00000000-0000-4000-8000-000000000000' });
  const folder = '/var/lib/landscape/hash-id-databases';
  await landscapeDatabaseChanged(host.machine, { host: database.storesHost, password: database.password });
  expect((await host.connections()).at(-1)).toMatch(new RegExp(` ${database.storesHost}$`));
  expect(await host.machine.read('/var/log/landscape-server/schema.log')).toContain('--bootstrap');

  await database.sql('grant select on server_identity to landscape', 'landscape-standalone-main');
  await landscapeActions.pause(host.machine);
  const ids = ['/opt/canonical/landscape/hash-id-databases'] as const;
  await host.machine.run(ids, { user: 'landscape' });
  expect(await host.machine.run(['sh', '-c', `ls ${folder} | wc -l`])).toBe('4');
  await landscapeActions['hash-id-databases'](host.machine);

  const uuid = await database.sql('select uuid from server_identity', 'landscape-standalone-main');
  expect(await host.machine.read(`${folder}/${uuid}_noble_amd64`)).toBe(`ids of ${uuid}\n`);
});
