import { makePrunePlan } from '../../src/jobs/prune-plan.ts';
import { prune } from '../../src/jobs/prune.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { unitFolder } from '../../src/system/home.ts';
import { join } from 'node:path';
import { fixedClock } from '../doubles/fixed-clock.ts';
import { now } from '../core/catalogue-builder.ts';
import { pruneContext, reopen } from './prune-site.ts';

/**
 * A prune in a process of its own that kills itself with SIGKILL at the nth call of the storage that changes something:
 * before it, after it, or so many milliseconds into it.
 */
const [root = '', unitName = '', nth = '0', when = 'before', milliseconds = '0'] = process.argv.slice(2);

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

let calls = 0;
async function deadly(work: () => Promise<void>): Promise<void> {
  calls += 1;
  const isLast = calls === Number(nth);
  if (isLast && when === 'before') die();
  if (isLast && when === 'during') setTimeout(die, Number(milliseconds));
  await work();
  if (isLast && when === 'after') die();
}

const wrap = (inner: Storage): Storage => ({
  url: inner.url,
  put: async (key, body) => {
    await deadly(async () => {
      await inner.put(key, body);
    });
  },
  remove: async (key) => {
    await deadly(async () => {
      await inner.remove(key);
    });
  },
  get: async (key, range) => await inner.get(key, range),
  list: (prefix) => inner.list(prefix),
  folders: async (prefix) => await inner.folders(prefix),
  sweep: async (prefix, before) => await inner.sweep(prefix, before),
  freeBytes: async () => await inner.freeBytes(),
  clock: async () => await inner.clock(),
  mayPut: async (prefix) => await inner.mayPut(prefix),
  remarks: async () => await inner.remarks(),
  close: async () => await inner.close(),
});

const clock = fixedClock(now);
const repository = await reopen(root, () => clock.now(), wrap);
const unit = unitFolder(join(root, 'home'), unitName);
const context = pruneContext({ repository, unit, clock }, { count: 2, days: 0 });
const { id } = await makePrunePlan(context);
await prune(context, { by: 'person', confirm: id });
await repository.storage.close();
process.stdout.write(`${calls}\n`);
