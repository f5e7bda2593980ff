import { execa } from 'execa';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { encryptionOptions, newAgeKey, type AgeKey } from '../setup/age.ts';
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

test('the files of a unit are encrypted anew to another recipient', async () => {
  const [former, latter] = [newAgeKey(), newAgeKey()];
  const encryptTo = async (key: AgeKey) => {
    const { 'encryption-identity': _none, ...options } = encryptionOptions([key]);
    const lines = Object.entries({ destination: '/srv/backup', ...options }).map(
      ([name, value]) => `${name}: ${value}\n`,
    );
    await host.machine.write(`${home}/settings.yaml`, lines.join(''));
  };
  await host.machine.write('/root/former', former.file);
  await encryptTo(former);
  await command('init-files');
  await command('backup-files');
  await encryptTo(latter);

  expect((await command('rewrap-files')).json).toMatchObject({ error: { kind: 'refused' } });
  const planned = await command('rewrap-files', '--identity-file', '/root/former');
  const { plan } = z.object({ plan: z.looseObject({ id: z.string() }) }).parse(planned.json);
  expect(plan).toMatchObject({ fileSets: { objects: 1 }, recipients: [latter.fingerprint] });
  const done = await command('rewrap-files', '--identity-file', '/root/former', `--confirm=${plan.id}`);
  expect(done.json, done.said).toMatchObject({ rewrapped: { renewed: 1, swept: 1 } });

  const stored = (await readdir(destination, { recursive: true })).filter((path) => path.endsWith('.age'));
  expect(stored).toEqual([expect.stringMatching(/files\.tar\.zst\.2\.age$/)]);
  await writeFile(join(destination, 'key'), latter.file, { mode: 0o600 });
  const open = ['-d', '-i', join(destination, 'key'), '-o', '/dev/null', join(destination, stored[0] ?? '')];
  expect(await execa('age', open)).toMatchObject({ exitCode: 0 });
  expect((await command('backup-files')).json).toMatchObject({ fileSet: { isNew: false } });
});

test('a check names the user and what stands in the way', async () => {
  await command('init-files');
  await rm(destination, { recursive: true });
  await mkdir(destination);
  const checked = await command('check-files');
  expect(checked.exitCode).not.toBe(0);
  expect(checked.said).toContain('there is no repository at file:///srv/backup');
});
