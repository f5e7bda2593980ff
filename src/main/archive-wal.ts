/** `archive-wal <unit folder> %p %f`: what PostgreSQL's `archive_command` runs, through `charm/bin/archive-wal`. */
import { archiveWal } from '../archiver/archive-wal.ts';
import { Failure } from '../core/failure.ts';
import { machineClock } from '../system/clock.ts';
import { unitFolderAt } from '../system/home.ts';
import { runWalProgram, walCodes } from './shared/wal-program.ts';

await runWalProgram('archive-wal', async () => {
  const [folder, path, name, ...more] = process.argv.slice(2);
  if (folder === undefined || path === undefined || name === undefined || more.length > 0) {
    throw new Failure('usage', "archive-wal takes the unit's folder, %p and %f", {
      hint: 'It is for archive_command; landscape-backup check shows what stands there.',
    });
  }
  let isKnown = false;
  const known = () => {
    isKnown = true;
  };
  try {
    await archiveWal({ unit: unitFolderAt(folder), dataDirectory: process.cwd(), path, name }, machineClock, { known });
    return walCodes.done;
  } catch (error) {
    if (isKnown) return walCodes.failed;
    throw error;
  }
});
