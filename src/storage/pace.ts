import { setTimeout as sleep } from 'node:timers/promises';
import type { Storage } from './storage.ts';

/** Holds what is sent to a rate. */
export interface Pace {
  /** Waits until so many bytes may be sent. */
  take(bytes: number): Promise<void>;
}

/** A clock that never goes backwards, and how to wait by it. */
interface PaceTime {
  nowMs(): number;
  sleep(ms: number): Promise<void>;
}

const machineTime: PaceTime = {
  nowMs: () => performance.now(),
  sleep: async (ms) => await sleep(ms),
};

/** Waiting is not exact: what was slept too long is made good within this time, and nothing older is saved up. */
const creditMs = 100;
/** A timer costs more than a shorter wait is worth; the debt stays. */
const shortestMs = 5;

/** Lets through so many bytes a second, whatever the number of those who take at once; an idle time is not saved up. */
export function makePace(bytesPerSecond: number, time: PaceTime = machineTime): Pace {
  let nextMs = -Infinity;
  return {
    take: async (bytes) => {
      const now = time.nowMs();
      const begin = Math.max(nextMs, now - creditMs);
      nextMs = begin + (bytes / bytesPerSecond) * 1000;
      if (begin - now >= shortestMs) await time.sleep(begin - now);
    },
  };
}

/** A body that is handed out no faster than a pace allows; nothing of it is held. */
export async function* atPace(
  body: AsyncIterable<Uint8Array>,
  pace: Pace | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of body) {
    await pace?.take(chunk.byteLength);
    yield chunk;
  }
}

/** The same storage, whose puts keep to a pace. */
export function withPace(storage: Storage, pace: Pace): Storage {
  return {
    url: storage.url,
    put: async (key, body) => {
      await storage.put(key, body, pace);
    },
    get: async (key, range) => await storage.get(key, range),
    list: (prefix) => storage.list(prefix),
    folders: async (prefix, of) => await storage.folders(prefix, of),
    remove: async (key) => {
      await storage.remove(key);
    },
    sweep: async (prefix, before) => await storage.sweep(prefix, before),
    freeBytes: async () => await storage.freeBytes(),
    clock: async () => await storage.clock(),
    mayPut: async (prefix) => await storage.mayPut(prefix),
    remarks: async () => await storage.remarks(),
    close: async () => {
      await storage.close();
    },
  };
}
