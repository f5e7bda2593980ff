import { writeSync } from 'node:fs';
import { keepSecond } from '../../src/jobs/second.ts';
import { contextAt } from './second-site.ts';

/**
 * Keeps the second destination once, in a process of its own in which every look at the time is half a minute later, says what
 * came of it, and kills itself with SIGKILL: so many milliseconds after it began, or when it has ended.
 */
const [root = '', killAfterMs = ''] = process.argv.slice(2);

const die = (): void => {
  process.kill(process.pid, 'SIGKILL');
};
let ms = 0;
Object.defineProperty(performance, 'now', {
  value: () => {
    ms += 30_000;
    return ms;
  },
});
if (killAfterMs !== '') setTimeout(die, Number(killAfterMs));
const kept = await keepSecond(contextAt(root), { fills: true });
writeSync(1, kept.is);
die();
