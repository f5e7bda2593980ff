import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { prefetchFolder } from '../../archiver/prefetch-spool.ts';
import { start } from '../../system/process.ts';
import type { RestoreContext } from './restore-context.ts';

const stopMs = 5000;

/**
 * Starts the program that fetches WAL ahead of recovery; it ends with this process at the latest. Recovery needs nothing of
 * it: where it does not start, or ends, `restore-wal` fetches by itself.
 */
export function startPrefetcher({ runtime, unit, cluster }: RestoreContext): { stop(): Promise<void> } {
  const program = join(runtime, 'lib', 'prefetch.js');
  const args = ['--max-old-space-size=96', program, unit.path, cluster.dataDirectory];
  let running;
  try {
    running = start(join(runtime, 'bin', 'node'), args, { keepInput: true });
  } catch {
    return { stop: () => Promise.resolve() };
  }
  return {
    stop: async () => {
      running.closeInput();
      // What waits for a destination that doesn't answer is not waited for.
      const kill = setTimeout(() => {
        running.kill('SIGKILL');
      }, stopMs);
      await running.ended;
      clearTimeout(kill);
      await rm(prefetchFolder(unit), { recursive: true, force: true });
    },
  };
}
