import { Failure } from '../../src/core/failure.ts';
import type { Storage } from '../../src/storage/storage.ts';

type Call = 'put' | 'get' | 'list' | 'folders' | 'remove' | 'sweep' | 'freeBytes' | 'clock';

/**
 * What goes wrong.
 *
 * - `fail-before`: the call fails and has changed nothing
 * - `fail-after`: the call has done its work, and its answer is lost
 * - `truncate`: a get's body ends early without an error
 * - `break`: a body fails after so many bytes
 * - `stall`: the call waits until `release` resolves
 * - `shift`: the destination's clock is wrong by so much
 *
 * There is no fault that says "missing" of what is there: no storage may do that, so nothing is built to survive it.
 */
type Trouble =
  | { readonly do: 'fail-before' | 'fail-after'; readonly kind?: 'unavailable' | 'refused' }
  | { readonly do: 'truncate' | 'break'; readonly afterBytes: number }
  | { readonly do: 'stall'; readonly release: Promise<void> }
  | { readonly do: 'shift'; readonly milliseconds: number };

/** When it goes wrong: on the nth (from 1) matching call, or on every one where `nth` is left out. */
export type Fault = Trouble & { readonly on: Call; readonly key?: RegExp; readonly nth?: number };

/** Wraps any storage so that it fails as the script says; calls that no fault names pass through. */
export function faultyStorage(inner: Storage, script: readonly Fault[]): Storage {
  const counts = new Map<Fault, number>();
  const due = (on: Call, key: string): Fault | undefined =>
    script
      .filter((fault) => fault.on === on && (fault.key ?? /^/).test(key))
      .filter((fault) => count(counts, fault))[0];
  const call = async <T>(
    on: Call,
    key: string,
    work: (fault: Fault | undefined) => Promise<T>,
    discarded?: (answer: T) => Promise<void>,
  ): Promise<T> => {
    const fault = due(on, key);
    if (fault?.do === 'stall') await fault.release;
    if (fault?.do === 'fail-before') throw scripted(fault, on, key);
    const answer = await work(fault);
    if (fault?.do === 'fail-after') {
      await discarded?.(answer);
      throw scripted(fault, on, key);
    }
    return answer;
  };
  return {
    url: inner.url,
    put: async (key, body, pace) =>
      await call('put', key, async (fault) => await inner.put(key, bend(body, fault), pace)),
    get: async (key, range) =>
      await call('get', key, async (fault) => bend(await inner.get(key, range), fault), closed),
    list: async function* (prefix) {
      yield* await call('list', prefix, async () => inner.list(prefix));
    },
    folders: async (prefix) => await call('folders', prefix, async () => await inner.folders(prefix)),
    remove: async (key) => await call('remove', key, async () => await inner.remove(key)),
    sweep: async (prefix, before) => await call('sweep', prefix, async () => await inner.sweep(prefix, before)),
    freeBytes: async () => await call('freeBytes', '', async () => await inner.freeBytes()),
    clock: async () =>
      await call('clock', '', async (fault) => {
        const shift = fault?.do === 'shift' ? fault.milliseconds : 0;
        return new Date((await inner.clock()).getTime() + shift);
      }),
    mayPut: async (prefix) => await inner.mayPut(prefix),
    remarks: async () => await inner.remarks(),
    close: async () => await inner.close(),
  };
}

function count(counts: Map<Fault, number>, fault: Fault): boolean {
  const now = (counts.get(fault) ?? 0) + 1;
  counts.set(fault, now);
  return fault.nth === undefined || fault.nth === now;
}

function scripted(fault: Fault, on: Call, key: string): Failure {
  const kind = 'kind' in fault ? (fault.kind ?? 'unavailable') : 'unavailable';
  return new Failure(kind, `scripted: ${on} ${key} failed`);
}

/** A body that ends early or breaks, when the fault says so. */
async function* bend(body: AsyncIterable<Uint8Array>, fault: Fault | undefined): AsyncIterable<Uint8Array> {
  if (fault?.do !== 'truncate' && fault?.do !== 'break') {
    yield* body;
    return;
  }
  let left = fault.afterBytes;
  for await (const chunk of body) {
    yield chunk.subarray(0, left);
    left -= chunk.byteLength;
    if (left <= 0) break;
  }
  if (fault.do === 'break') throw new Failure('unavailable', 'scripted: the connection broke');
}

/** Takes a body that nobody will read out of the world: what it holds open is closed by who begins to read. */
async function closed(body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _chunk of body) break;
}
