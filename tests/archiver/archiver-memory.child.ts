/**
 * `archiver-memory.child.ts <unit folder> <data directory> <count>`: an archiver that ends when it has acknowledged so many
 * files, and prints that with its peak memory in MiB.
 */
import { runResident } from '../../src/archiver/resident.ts';
import { machineClock } from '../../src/system/clock.ts';
import { unitFolderAt } from '../../src/system/home.ts';
import { markOf } from '../../src/system/process-mark.ts';

const [folder = '', dataDirectory = '', wanted = '0'] = process.argv.slice(2);
const mark = await markOf(process.pid);
if (mark === undefined) throw new Error('this process has no mark');
const ending = new AbortController();
let acknowledged = 0;
await runResident({
  unit: unitFolderAt(folder),
  dataDirectory: () => Promise.resolve(dataDirectory),
  mark,
  clock: machineClock,
  signal: ending.signal,
  step: (step) => {
    if (step === 'acknowledged') acknowledged += 1;
    if (acknowledged === Number(wanted)) ending.abort();
  },
  alive: () => undefined,
  say: () => undefined,
});
process.stdout.write(
  `${JSON.stringify({ acknowledged, peakMiB: Math.round(process.resourceUsage().maxRSS / 1024) })}\n`,
);
