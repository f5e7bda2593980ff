import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { credentialsFile, readSettings, settingsFile, writeCredentials } from '../../src/system/home.ts';

let home: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'lb-home-'));
});
afterEach(async () => {
  await rm(home, { recursive: true, force: true });
});

const gid = process.getgid?.() ?? 0;

test('credentials are written for root and one group, and read together with the settings', async () => {
  await writeFile(settingsFile(home), 'destination: s3://bucket\n');
  await writeCredentials(home, { 's3-access-key': 'planted-access', 's3-secret-key': '*planted"secret' }, gid);

  const { access, destination } = await readSettings(home);

  expect((await stat(credentialsFile(home))).mode & 0o777).toBe(0o640);
  expect((await stat(credentialsFile(home))).gid).toBe(gid);
  expect([destination?.url, access.s3.accessKey?.reveal(), access.s3.secretKey?.reveal()]).toEqual([
    's3://bucket',
    'planted-access',
    '*planted"secret',
  ]);
});

test('a key of several lines comes back as it was', async () => {
  const key = `-----BEGIN OPENSSH PRIVATE KEY-----\n${'b3BlbnNzaC1rZXktdjE\n'.repeat(5)}-----END OPENSSH PRIVATE KEY-----\n`;
  await writeCredentials(home, { 'sftp-private-key': key, 's3-secret-key': '' }, gid);

  expect((await readSettings(home)).access.sftp.privateKey?.reveal()).toBe(key);
  expect(await readFile(credentialsFile(home), 'utf8')).not.toContain('s3-secret-key');
});

test('without credentials the file goes away', async () => {
  await writeCredentials(home, { 's3-secret-key': 'planted-secret' }, gid);
  await writeCredentials(home, { 's3-secret-key': '' }, gid);

  await expect(stat(credentialsFile(home))).rejects.toMatchObject({ code: 'ENOENT' });
});

test.each([settingsFile, credentialsFile])('a file that everybody may read may hold no secret', async (fileOf) => {
  await writeFile(fileOf(home), 's3-secret-key: planted-secret\n', { mode: 0o644 });

  await expect(readSettings(home)).rejects.toMatchObject({
    kind: 'settings',
    message: `${fileOf(home)} holds the option s3-secret-key, and every user of this machine may read it`,
    hint: expect.stringContaining('chmod 0640'),
  });

  await chmod(fileOf(home), 0o640);
  expect((await readSettings(home)).access.s3.secretKey?.reveal()).toBe('planted-secret');
});

test('what is no secret is not looked for among the credentials', async () => {
  await writeFile(credentialsFile(home), 'destination: /srv\n', { mode: 0o640 });

  await expect(readSettings(home)).rejects.toMatchObject({
    kind: 'settings',
    message: expect.stringContaining('no secret'),
  });
});

test('what the parser stumbles over is not repeated', async () => {
  await writeFile(credentialsFile(home), 's3-secret-key: *planted-secret\n', { mode: 0o640 });

  const error = await readSettings(home).catch((thrown: unknown) => thrown);

  expect(error).toMatchObject({ kind: 'settings', message: expect.stringContaining('is not YAML') });
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('planted-secret');
});
