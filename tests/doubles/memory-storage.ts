import { Failure } from '../../src/core/failure.ts';
import { atPace } from '../../src/storage/pace.ts';
import { beginningWanted, checkKey, type Storage, type StoredObject } from '../../src/storage/storage.ts';
import { bytes } from '../storage/bytes.ts';

/** A destination in this process's memory; storages opened on the same one see the same objects. */
export class MemoryDestination {
  readonly objects = new Map<string, Uint8Array>();
  readonly #url: string;

  constructor(url = 'memory://test') {
    this.#url = url;
  }

  open(): Storage {
    return memoryStorage(this.objects, this.#url);
  }
}

function memoryStorage(objects: Map<string, Uint8Array>, url: string): Storage {
  const keysBelow = (prefix: string) => [...objects.keys()].filter((key) => key.startsWith(prefix)).toSorted();
  return {
    url,
    put: async (key, body, pace) => {
      checkKey(key);
      const whole = await bytes(atPace(body, pace));
      if (objects.has(key)) throw new Failure('conflict', `${url}/${key} exists already`);
      objects.set(key, whole);
    },
    get: async (key, range) => {
      checkKey(key);
      const whole = objects.get(key);
      if (whole === undefined) throw new Failure('missing', `${url}/${key} is not there`);
      return inChunks(range === undefined ? whole : whole.subarray(range.start, range.end));
    },
    list: async function* (prefix): AsyncIterable<StoredObject> {
      for (const key of keysBelow(prefix)) {
        const whole = objects.get(key);
        if (whole !== undefined) yield { key, sizeBytes: whole.byteLength };
      }
    },
    folders: async (prefix, of) => {
      const names = keysBelow(beginningWanted(prefix, of)).map(
        (key) => /^[^/]*\/?/.exec(key.slice(prefix.length))?.[0] ?? '',
      );
      return [...new Set(names)].toSorted();
    },
    remove: async (key) => {
      checkKey(key);
      objects.delete(key);
    },
    sweep: async () => 0,
    freeBytes: async () => undefined,
    clock: async () => new Date(),
    mayPut: async () => true,
    remarks: async () => [],
    close: async () => undefined,
  };
}

async function* inChunks(whole: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < whole.byteLength; at += 65_536) yield whole.subarray(at, at + 65_536);
}
