/**
 * `prefetch <unit folder> <data directory>`: fetches WAL ahead of a recovery that a restore job runs. The job starts it and
 * holds its input open: it ends when that closes, however the job ended.
 */
import { runPrefetch } from '../archiver/prefetch.ts';
import { toFailure } from '../core/failure.ts';
import { unitFolderAt } from '../system/home.ts';
import { markOf } from '../system/process-mark.ts';

const [folder = '', dataDirectory = ''] = process.argv.slice(2);
const stopping = new AbortController();
process.stdin.on('close', () => {
  stopping.abort();
});
process.stdin.resume();
try {
  const mark = await markOf(process.pid);
  if (mark !== undefined) {
    await runPrefetch({ unit: unitFolderAt(folder), dataDirectory, mark, signal: stopping.signal });
  }
  process.exit(0);
} catch (error) {
  process.stderr.write(`landscape-backup prefetch: ${toFailure(error).message}\n`);
  process.exit(1);
}
