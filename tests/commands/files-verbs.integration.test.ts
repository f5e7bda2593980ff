import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { makeLandscapeHost, type LandscapeHost } from '../site/landscape-host.ts';
import { makeSiteMachine } from '../site/machine.ts';

const home = '/var/lib/landscape-backup';
const program = '/opt/landscape-backup/bin/landscape-backup';
let destination: string;
let host: LandscapeHost;

beforeEach(async () => {
  destination = await mkdtemp(join(tmpdir(), 'lb-files-verbs-'));
  const machine = await makeSiteMachine({ name: 'site', shared: { '/srv/backup': destination } });
  host = await makeLandscapeHost(machine, { site: 'production', profile: 'charmed', uid: 777 });
  await machine.copyIn(process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] ?? '', '/opt/landscape-backup');
  await machine.write(`${home}/settings.yaml`, 'destination: /srv/backup\nbackup-schedule: "0 2 * * *"\n');
  await machine.write('/etc/machine-id', `${'0123456789abcdef'.repeat(2)}\n`);
});
afterEach(async () => {
  await host.machine.destroy();
  await rm(destination, { recursive: true });
});

async function command(...args: string[]) {
  const { exitCode, stdout, stderr } = await host.machine.execute([
    program,
    ...args,
    '--home',
    home,
    '--format',
    'json',
  ]);
  return { exitCode, said: `${stdout}${stderr}`, json: z.record(z.string(), z.unknown()).parse(JSON.parse(stdout)) };
}

test('files are kept only in the repository that was chosen, and what that needs can be checked', async () => {
  expect((await command('run-due-files')).json).toEqual({ done: [] });
  expect((await command('init-files', '--join')).json).toMatchObject({ error: { kind: 'missing' } });
  expect((await command('init-files')).json).toMatchObject({ joined: { created: true } });
  expect((await command('init-files')).json).toMatchObject({ joined: { created: false } });
  const checked = await command('check-files');
  expect(checked.exitCode, checked.said).toBe(0);

  expect((await command('run-due-files')).json).toMatchObject({ done: [{ did: 'backup-files', isNew: true }] });
  expect((await command('run-due-files')).json).toEqual({ done: [] });
});

test('a check names the user and what stands in the way', async () => {
  await command('init-files');
  await rm(destination, { recursive: true });
  await mkdir(destination);
  const checked = await command('check-files');
  expect(checked.exitCode).not.toBe(0);
  expect(checked.said).toContain('there is no repository at file:///srv/backup');
});
