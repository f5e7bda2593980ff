/** Takes the lock `argv[2]`, says how that went, and keeps it until it is killed or its input ends. */
import { isFailure } from '../../src/core/failure.ts';
import { takeLock } from '../../src/system/lock.ts';

process.on('SIGINT', () => process.stdout.write('interrupted\n'));
try {
  const lock = await takeLock(process.argv[2] ?? '', 'the job');
  process.stdout.write('held\n');
  for await (const _chunk of process.stdin);
  await lock.release();
} catch (error) {
  process.stdout.write(`${isFailure(error) ? error.kind : String(error)}\n`);
}
