import type { Storage } from '../../src/storage/storage.ts';

/** So many names come in one answer of an S3 store. */
const pageSize = 1000;

/** What was asked of a storage's listings. */
export class ListingCount {
  /** The prefixes that were listed, one for each answer that a store would have had to give. */
  readonly requests: string[] = [];

  /** How many requests about something went out since the last call, and forgets them. */
  take(about: string): number {
    return this.requests.splice(0).filter((prefix) => prefix.includes(about)).length;
  }

  add(prefix: string, names: number): void {
    for (let page = 0; page < Math.max(1, Math.ceil(names / pageSize)); page += 1) this.requests.push(prefix);
  }
}

/** The same storage, with its listings counted. */
export function countingStorage(inner: Storage, count: ListingCount): Storage {
  return {
    url: inner.url,
    put: async (key, body, pace) => {
      await inner.put(key, body, pace);
    },
    get: async (key, range) => await inner.get(key, range),
    list: async function* (prefix) {
      let names = 0;
      for await (const object of inner.list(prefix)) {
        names += 1;
        yield object;
      }
      count.add(prefix, names);
    },
    folders: async (prefix) => {
      const names = await inner.folders(prefix);
      count.add(prefix, names.length);
      return names;
    },
    remove: async (key) => {
      await inner.remove(key);
    },
    sweep: async (prefix, before) => await inner.sweep(prefix, before),
    freeBytes: async () => await inner.freeBytes(),
    clock: async () => await inner.clock(),
    mayPut: async (prefix) => await inner.mayPut(prefix),
    remarks: async () => await inner.remarks(),
    close: async () => {
      await inner.close();
    },
  };
}
