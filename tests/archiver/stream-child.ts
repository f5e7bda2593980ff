/**
 * `stream-child.ts <unit folder> <server's folder> <data directory> <step>`: streams, and kills itself when it comes to that
 * step. Once the beginning of a segment is stored the server goes on into the next one.
 */
import { runStream } from '../../src/archiver/stream.ts';
import { machineClock } from '../../src/system/clock.ts';
import { unitFolderAt } from '../../src/system/home.ts';
import { mebibyte } from '../setup/wal-unit.ts';
import { StreamServer } from './stream-server.ts';

const [folder = '', root = '', dataDirectory = '', deadly = ''] = process.argv.slice(2);
const server = new StreamServer(root, dataDirectory);
const { lsn } = await server.state();
let hasGrown = false;
await runStream({
  unit: unitFolderAt(folder),
  clock: machineClock,
  signal: new AbortController().signal,
  say: () => undefined,
  source: () => Promise.resolve(server.source()),
  step: (step) => {
    if (step === deadly) process.kill(process.pid, 'SIGKILL');
    if (step !== 'beginning stored' || hasGrown) return;
    hasGrown = true;
    server.write(lsn + mebibyte).catch(() => undefined); // Then the step is not reached, and the test says so.
  },
});
