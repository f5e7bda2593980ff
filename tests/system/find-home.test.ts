import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { findHome, homeRoot, lastingRuntime } from '../../src/system/find-home.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lb-homes-'));
  vi.stubEnv('LANDSCAPE_BACKUP_HOME', undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

async function settingsAt(...names: readonly string[]): Promise<string> {
  const home = join(root, ...names);
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'settings.yaml'), '');
  return home;
}

test('the environment names a home before anything is looked at', async () => {
  await settingsAt('landscape-backup-0');
  vi.stubEnv('LANDSCAPE_BACKUP_HOME', '/somewhere');
  expect(await findHome(root)).toBe('/somewhere');
});

test('the home of the only unit is found; what has no settings is no home', async () => {
  const home = await settingsAt('landscape-backup-0');
  await mkdir(join(root, '15-main'));
  expect(await findHome(root)).toBe(home);
});

test('settings in the root itself come first: that is an installation by hand', async () => {
  await settingsAt('landscape-backup-0');
  await settingsAt();
  expect(await findHome(root)).toBe(root);
});

test('with several units the command asks which, and names them', async () => {
  const first = await settingsAt('landscape-backup-0');
  const second = await settingsAt('landscape-backup-3');
  await expect(findHome(root)).rejects.toMatchObject({
    kind: 'usage',
    message: `this machine has several units: ${first}, ${second}`,
    hint: 'Say which with --home.',
  });
});

test('where nothing is, the root is the home that settings are written into', async () => {
  expect(await findHome(join(root, 'missing'))).toBe(join(root, 'missing'));
  expect(homeRoot).toBe('/var/lib/landscape-backup');
});

test('an installed runtime is told by the link that outlives it, any other by itself', async () => {
  const version = join(root, 'versions', 'abc');
  await mkdir(version, { recursive: true });
  expect(await lastingRuntime(version)).toBe(version);
  await symlink(join('versions', 'abc'), join(root, 'runtime'));
  expect(await lastingRuntime(version)).toBe(join(root, 'runtime'));
  expect(await lastingRuntime('/opt/landscape-backup')).toBe('/opt/landscape-backup');
});
