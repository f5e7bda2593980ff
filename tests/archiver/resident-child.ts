/** `resident-child.ts <unit folder> <data directory> <step>`: an archiver that kills itself when it comes to that step. */
import { runResident } from '../../src/archiver/resident.ts';
import { machineClock } from '../../src/system/clock.ts';
import { unitFolderAt } from '../../src/system/home.ts';
import { markOf } from '../../src/system/process-mark.ts';

const [folder = '', dataDirectory = '', deadly = ''] = process.argv.slice(2);
const mark = await markOf(process.pid);
if (mark === undefined) throw new Error('this process has no mark');
await runResident({
  unit: unitFolderAt(folder),
  dataDirectory: () => Promise.resolve(dataDirectory),
  mark,
  clock: machineClock,
  signal: new AbortController().signal,
  step: (step) => {
    if (step === deadly) process.kill(process.pid, 'SIGKILL');
  },
  alive: () => undefined,
  say: () => undefined,
});
