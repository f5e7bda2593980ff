/** Runs stages of a restore and kills itself before the change to the file system that it was told: see kill-stages.ts. */
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const [root = '', home = '', destination = '', planId = '', stages = '', killAt = ''] = process.argv.slice(2);
let count = 0;

function step(): void {
  count += 1;
  if (count === Number(killAt)) process.kill(process.pid, 'SIGKILL');
}

const { open } = promises;
promises.open = async (path, flags, mode) => {
  const isRead = flags === undefined || flags === 'r' || (typeof flags === 'number' && (flags & 3) === 0);
  if (!isRead) step();
  return await open(path, flags, mode);
};
for (const name of ['rename', 'unlink', 'mkdir', 'rmdir', 'symlink', 'lchown', 'rm'] as const) {
  const original: unknown = Reflect.get(promises, name);
  if (typeof original !== 'function') continue;
  Reflect.set(promises, name, async (...args: unknown[]): Promise<unknown> => {
    step();
    const result: unknown = await Reflect.apply(original, promises, args);
    return result;
  });
}
syncBuiltinESMExports();

const { runStages, killContext } = await import('./kill-stages.ts');
await runStages(killContext(root, home), destination, planId, stages.split(','));
process.stdout.write(String(count));
