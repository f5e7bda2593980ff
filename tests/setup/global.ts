import { chmod, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildRuntime } from '../../src/packaging/build.ts';

/**
 * Builds the runtime and installs it where the clusters' owner can read it: a clone may lie in a directory of root's.
 * Tests find it through the environment.
 */
export async function setup(): Promise<() => Promise<void>> {
  const built = await buildRuntime(join(import.meta.dirname, '..', '..'));
  const place = await mkdtemp(join(tmpdir(), 'lb-runtime-'));
  await chmod(place, 0o755);
  await cp(built, join(place, 'runtime'), { recursive: true });
  process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] = join(place, 'runtime');
  return async () => {
    await rm(place, { recursive: true, force: true });
  };
}
