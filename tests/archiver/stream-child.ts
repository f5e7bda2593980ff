/**
 * `stream-child.ts <unit folder> <server's folder> <data directory> <step>`: streams, and kills itself when it comes to that
 * step. When the beginning of a segment is stored the server goes on into the next one, a few times: the first may be of a timeline
 * that has ended, and the next segment finished before anything of it is stored.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { runStream } from '../../src/archiver/stream.ts';
import { machineClock } from '../../src/system/clock.ts';
import { unitFolderAt } from '../../src/system/home.ts';
import { mebibyte } from '../setup/wal-unit.ts';
import { StreamServer } from './stream-server.ts';

const [folder = '', root = '', dataDirectory = '', deadly = ''] = process.argv.slice(2);
const server = new StreamServer(root, dataDirectory);
const { lsn } = await server.state();
let grown = 0;

/** Again until it stands: the receiver, another process, writes down how far it is in the same file. */
async function goOn(to: number): Promise<void> {
  for (let tries = 0; tries < 100 && (await server.state()).lsn < to; tries += 1) {
    await server.write(to);
    await sleep(20);
  }
}

await runStream({
  unit: unitFolderAt(folder),
  clock: machineClock,
  signal: new AbortController().signal,
  say: () => undefined,
  source: () => Promise.resolve(server.source()),
  step: (step) => {
    if (step === deadly) process.kill(process.pid, 'SIGKILL');
    if (step !== 'beginning stored' || grown === 4) return;
    grown += 1;
    goOn(lsn + grown * mebibyte).catch(() => undefined); // Then the step is not reached, and the test says so.
  },
});
