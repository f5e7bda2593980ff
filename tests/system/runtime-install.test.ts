import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { placesOf } from '../../src/system/machine-paths.ts';
import { installRuntime, isInForce } from '../../src/system/runtime-install.ts';

const roots: string[] = [];
afterEach(async () => {
  for (const root of roots.splice(0)) await rm(root, { recursive: true });
});

test('the runtime is in force when it has the files of the charm, and no longer when the charm has others', async () => {
  const root = await mkdtemp(join(tmpdir(), 'runtime-'));
  roots.push(root);
  const paths = { runtimes: root, systemdUnits: root, systemdRuns: root, commands: root, homes: root };
  const places = placesOf(paths, 'landscape-backup/0');
  const charm = join(root, 'charm');
  await mkdir(join(charm, 'bin'), { recursive: true });
  await writeFile(join(charm, 'bin', 'node'), 'one');
  expect(await isInForce(charm, places)).toBe(false);

  await installRuntime(charm, places);
  expect(await isInForce(charm, places)).toBe(true);

  for (const change of [
    async () => {
      await chmod(join(charm, 'bin', 'node'), 0o755);
    },
    async () => {
      await writeFile(join(charm, 'bin', 'node'), 'three');
    },
    async () => {
      await writeFile(join(charm, 'bin', 'more'), '');
    },
  ]) {
    await change();
    expect(await isInForce(charm, places)).toBe(false);
    await installRuntime(charm, places);
    expect(await isInForce(charm, places)).toBe(true);
  }
});
