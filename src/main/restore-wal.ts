/** `restore-wal <unit folder> %p %f`: what PostgreSQL's `restore_command` runs, through `charm/bin/restore-wal`. */
import { restoreWal } from '../archiver/restore-wal.ts';
import { Failure } from '../core/failure.ts';
import { machineClock } from '../system/clock.ts';
import { unitFolderAt } from '../system/home.ts';
import { runWalProgram, walCodes } from './shared/wal-program.ts';

await runWalProgram('restore-wal', async () => {
  // The front tells its own process id first: when our parent is another, the front was killed and PostgreSQL went on.
  const [front, folder, path, name, ...more] = process.argv.slice(2);
  if (folder === undefined || path === undefined || name === undefined || more.length > 0) {
    throw new Failure('usage', "restore-wal takes the unit's folder, %p and %f", {
      hint: 'It is for restore_command.',
    });
  }
  const isWanted = () => process.ppid === Number(front);
  const request = { unit: unitFolderAt(folder), dataDirectory: process.cwd(), path, name, isWanted };
  return (await restoreWal(request, machineClock)) === 'served' ? walCodes.done : walCodes.absent;
});
