import { copyRepository } from '../../src/repository/copy.ts';
import { isSharedFolder } from '../../src/repository/layout.ts';
import { openRepository } from '../../src/repository/repository.ts';
import { openDirectory } from '../../src/storage/directory.ts';

/**
 * A copy between two directories in a process of its own that kills itself with SIGKILL so many milliseconds after the body of
 * the nth object was begun.
 */
const [from = '', to = '', nth = '0', milliseconds = '0'] = process.argv.slice(2);

const open = async (path: string) => await openDirectory(path, { url: `file://${path}`, isShared: isSharedFolder });
const copy = await open(to);
let puts = 0;

const deadly: typeof copy = {
  url: copy.url,
  put: async (key, body, pace) => {
    puts += 1;
    if (puts === Number(nth)) setTimeout(() => process.kill(process.pid, 'SIGKILL'), Number(milliseconds));
    await copy.put(key, body, pace);
  },
  get: async (key, range) => await copy.get(key, range),
  list: (prefix) => copy.list(prefix),
  folders: async (prefix) => await copy.folders(prefix),
  remove: async (key) => {
    await copy.remove(key);
  },
  sweep: async (prefix, before) => await copy.sweep(prefix, before),
  freeBytes: async () => await copy.freeBytes(),
  clock: async () => await copy.clock(),
  mayPut: async (prefix) => await copy.mayPut(prefix),
  remarks: async () => await copy.remarks(),
  close: async () => {
    await copy.close();
  },
};

await copyRepository(
  { original: await openRepository(await open(from), undefined), copy: deadly },
  { signal: new AbortController().signal, copied: () => undefined, readBack: () => undefined },
);
