import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../setup/wait.ts';
import { makeSiteMachine, type SiteMachine } from './machine.ts';

let machine: SiteMachine;
let nextUnit = 0;

beforeAll(async () => {
  machine = await makeSiteMachine({ name: 'units' });
});
afterAll(async () => {
  await machine.destroy();
});

async function systemctl(...args: string[]) {
  return await machine.execute(['systemctl', ...args]);
}

/** Writes a service of a new name and says its name. */
async function service(text: string, unitText = ''): Promise<string> {
  const name = `test${(nextUnit += 1)}`;
  await machine.write(
    `/etc/systemd/system/${name}.service`,
    `[Unit]\nDescription=A test\n${unitText}\n[Service]\n${text}\n[Install]\nWantedBy=multi-user.target\n`,
  );
  return name;
}

async function isActive(name: string): Promise<string> {
  return (await systemctl('is-active', name)).stdout.trim();
}

const sleeper = 'Type=exec\nExecStart=/bin/sleep 1000';

test('a service runs as a child of its own, tells its process, and stops with all that it started', async () => {
  const name = await service('Type=exec\nExecStart=/bin/sh -c "sleep 4711 & setsid sleep 4711 & wait"');

  await machine.run(['systemctl', 'start', name], { env: { JUJU_CONTEXT_ID: 'x' } });

  expect(await isActive(name)).toBe('active');
  const pid = await machine.run(['systemctl', 'show', '-p', 'MainPID', '--value', name]);
  expect(await machine.run(['ps', '-o', 'args=', '-p', pid])).toContain('sleep 4711');
  const environment = await machine.run(['sh', '-c', `tr '\\0' '\\n' </proc/${pid}/environ | sed 's/=.*//' | sort`]);
  expect(environment.split('\n')).toEqual(
    ['INVOCATION_ID', 'LANG', 'PATH', 'PWD'].filter((each) => environment.includes(each)),
  );
  await until('both sleep', async () => (await machine.run(['pgrep', '-c', '-f', '^sleep 4711'])) === '2');
  await machine.run(['systemctl', 'stop', name]);
  expect(await isActive(name)).toBe('inactive');
  expect((await machine.execute(['pgrep', '-f', '^sleep 4711'])).exitCode).toBe(1);
});

test('a start of a oneshot waits for its end and says how that was, and one that does not block does not', async () => {
  const good = await service('Type=oneshot\nExecStart=/bin/sh -c "sleep 0.3; echo done >/run/%n"');
  await machine.run(['systemctl', 'start', good]);
  expect(await machine.read(`/run/${good}.service`)).toBe('done\n');
  expect(await isActive(good)).toBe('inactive');

  const bad = await service('Type=oneshot\nExecStart=/bin/false');
  const failed = await systemctl('start', bad);
  expect(failed.exitCode).toBe(1);
  expect(failed.stderr).toContain(`Job for ${bad}.service failed`);
  expect(await isActive(bad)).toBe('failed');
  await systemctl('reset-failed', bad);
  expect(await isActive(bad)).toBe('inactive');

  const slow = await service('Type=oneshot\nExecStart=/bin/sleep 1000');
  await machine.run(['systemctl', 'start', '--no-block', slow]);
  expect(await isActive(slow)).toBe('activating');
  const waits = systemctl('start', slow);
  await machine.run(['systemctl', 'stop', slow]);
  expect((await waits).exitCode).toBe(1);
  expect(await isActive(slow)).toBe('inactive');
});

test('instances of a template are services of their own', async () => {
  await machine.write(
    '/etc/systemd/system/job@.service',
    '[Service]\nType=oneshot\nExecStart=/bin/sh -c "echo %i of %n in %I >/run/job-%i"\n',
  );

  await machine.run(['systemctl', 'start', 'job@a-1']);

  expect(await machine.read('/run/job-a-1')).toBe('a-1 of job@a-1.service in a/1\n');
});

test('a condition keeps a service from being started, by whomever and after a restart of the machine', async () => {
  const name = await service(sleeper);
  await machine.run(['systemctl', 'enable', '--now', name]);
  await machine.write(
    `/etc/systemd/system/${name}.service.d/fence.conf`,
    '[Unit]\nConditionPathExists=!/var/lib/fence\n',
  );
  await machine.write('/var/lib/fence', '');
  await machine.run(['systemctl', 'daemon-reload']);
  expect(await isActive(name)).toBe('active');

  await machine.run(['systemctl', 'restart', name]);
  expect(await isActive(name)).toBe('inactive');
  await machine.run(['systemctl', 'start', name]);
  expect(await isActive(name)).toBe('inactive');
  expect(await machine.run(['systemctl', 'show', '-p', 'ConditionResult', name])).toBe('ConditionResult=no');

  await machine.powerCut();
  await machine.boot();
  expect(await isActive(name)).toBe('inactive');

  await machine.run(['rm', '/var/lib/fence']);
  await machine.powerCut();
  await machine.boot();
  expect(await isActive(name)).toBe('active');
});

test('what is written about a known unit counts after daemon-reload, not before', async () => {
  const name = await service(sleeper);
  await machine.run(['systemctl', 'start', name]);
  await machine.write(`/etc/systemd/system/${name}.service.d/fence.conf`, '[Unit]\nConditionPathExists=/nowhere\n');
  expect(await machine.run(['systemctl', 'show', '-p', 'NeedDaemonReload', '--value', name])).toBe('yes');

  await machine.run(['systemctl', 'restart', name]);
  expect(await isActive(name)).toBe('active');

  await machine.run(['systemctl', 'daemon-reload']);
  await machine.run(['systemctl', 'restart', name]);
  expect(await isActive(name)).toBe('inactive');
});

test('a masked unit is started by nobody, a missing one is said to be missing', async () => {
  await machine.write('/usr/lib/systemd/system/packaged.service', `[Service]\n${sleeper}\n`);
  await machine.run(['systemctl', 'start', 'packaged']);
  await machine.run(['systemctl', 'mask', 'packaged']);
  expect(await isActive('packaged')).toBe('active');
  expect((await systemctl('is-enabled', 'packaged')).stdout).toBe('masked\n');

  await machine.run(['systemctl', 'stop', 'packaged']);
  const refused = await systemctl('start', 'packaged');
  expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('is masked') });
  await machine.run(['systemctl', 'unmask', 'packaged']);
  await machine.run(['systemctl', 'start', 'packaged']);
  expect(await isActive('packaged')).toBe('active');
  expect((await systemctl('start', 'no-such')).exitCode).toBe(5);
  expect((await systemctl('is-active', 'no-such')).exitCode).toBe(3);
});

test('a target takes its parts with it when it stops and when it starts', async () => {
  const parts = [await service(sleeper, 'PartOf=group.target'), await service(sleeper, 'PartOf=group.target')];
  await machine.write(
    '/etc/systemd/system/group.target',
    `[Unit]\nWants=${parts.map((part) => `${part}.service`).join(' ')}\n`,
  );

  await machine.run(['systemctl', 'start', 'group.target']);
  expect(await Promise.all(parts.map(isActive))).toEqual(['active', 'active']);
  expect(await machine.run(['systemctl', 'list-dependencies', '--plain', 'group.target'])).toContain(parts[1]);
  const before = await machine.run(['systemctl', 'show', '-p', 'MainPID', `${parts[0]}`]);
  await machine.run(['systemctl', 'restart', 'group.target']);
  expect(await machine.run(['systemctl', 'show', '-p', 'MainPID', `${parts[0]}`])).not.toBe(before);
  await machine.run(['systemctl', 'stop', 'group.target']);
  expect(await Promise.all(parts.map(isActive))).toEqual(['inactive', 'inactive']);
});

test('a timer starts its service when the test says so, and only while it is active', async () => {
  const name = await service('Type=oneshot\nExecStart=/bin/sh -c "echo x >>/var/lib/ticks"');
  await machine.write(
    `/etc/systemd/system/${name}.timer`,
    '[Timer]\nOnCalendar=minutely\n[Install]\nWantedBy=timers.target\n',
  );
  await expect(machine.fireTimer(name)).rejects.toThrow('is not active');

  await machine.run(['systemctl', 'enable', '--now', `${name}.timer`]);
  await machine.fireTimer(name);
  await machine.powerCut();
  await machine.boot();
  await machine.fireTimer(name);

  expect(await machine.read('/var/lib/ticks')).toBe('x\nx\n');
});

test('a service that ignores its end is killed when its time is over, and a user and variables are given', async () => {
  await machine.write('/etc/default/given', 'FROM_FILE="two words"\n');
  const name = await service(
    [
      'Type=exec',
      'User=postgres',
      'Environment="GIVEN=a b" OTHER=c',
      'EnvironmentFile=/etc/default/given',
      'TimeoutStopSec=1',
      `ExecStart=/bin/sh -c 'trap "" TERM; echo "$(id -un) $HOME $GIVEN $OTHER $FROM_FILE $1" >/tmp/%p; sleep 1000' sh \${OTHER}`,
    ].join('\n'),
  );
  await machine.run(['systemctl', 'start', name]);
  await until('it speaks', async () => (await machine.execute(['test', '-s', `/tmp/${name}`])).exitCode === 0);
  expect(await machine.read(`/tmp/${name}`)).toBe('postgres /var/lib/postgresql a b c two words c\n');

  await machine.run(['systemctl', 'stop', name]);

  expect(await isActive(name)).toBe('failed');
  expect(await machine.run(['systemctl', 'show', '-p', 'Result', '--value', name])).toBe('timeout');
});

test('a service that dies by itself is told, and comes again where its unit says so', async () => {
  const once = await service(sleeper);
  const again = await service(`${sleeper}\nRestart=on-failure`);
  await machine.run(['systemctl', 'start', once, again]);

  await machine.run(['systemctl', 'kill', '-s', 'KILL', once, again]);

  await until('it failed', async () => (await isActive(once)) === 'failed');
  await until('it runs again', async () => (await isActive(again)) === 'active');
});

test('what this systemctl can not do it refuses, and nothing of that was asked until now', async () => {
  expect((await machine.execute(['cat', '/var/log/site/not-simulated'])).exitCode).toBe(1);
  expect((await systemctl('isolate', 'rescue.target')).exitCode).toBe(64);
  expect(await machine.read('/var/log/site/not-simulated')).toBe('systemctl isolate\n');
});
