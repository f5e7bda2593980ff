import { AsyncLocalStorage } from 'node:async_hooks';
import { Failure, isFailure } from '../../src/core/failure.ts';
import type { WalSteps } from '../../src/archiver/wal-steps.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { faultyStorage, type Fault } from '../doubles/faulty-storage.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';

/** What befalls one run of a program: at its nth call to the destination, or when it comes to a step for the nth time. */
export type Mishap =
  | { readonly is: 'fault'; readonly fault: Fault }
  | { readonly is: 'outage'; readonly kind: 'unavailable' | 'refused' }
  | { readonly is: 'death'; readonly nth: number; readonly put: boolean; readonly when: 'before' | 'after' }
  | { readonly is: 'death at'; readonly step: string; readonly nth: number }
  | { readonly is: 'meanwhile'; readonly nth: number; readonly put: boolean; readonly act: number }
  | { readonly is: 'meanwhile at'; readonly step: string; readonly nth: number; readonly act: number };

/** What others do while a program is in the middle of something; at a step only what takes no time. */
interface Meanwhile {
  readonly atCall: (act: number) => Promise<void>;
  readonly atStep: (act: number) => void;
}

const running = new AsyncLocalStorage<Program>();

/** One run of a program of ours. When it is dead, nothing that it still does reaches the destination. */
export class Program {
  /** Something went wrong for it: then an error is an answer. */
  isTroubled = false;
  isDead = false;
  /** The step at which it died. */
  diedAt: string | undefined;
  readonly destination: HistoryDestination;
  readonly #mishap: Mishap | undefined;
  readonly #meanwhile: Meanwhile | undefined;
  readonly #counts = new Map<string, number>();
  readonly #way: Storage;

  constructor(destination: HistoryDestination, mishap: Mishap | undefined, meanwhile?: Meanwhile) {
    this.destination = destination;
    this.#mishap = mishap;
    this.#meanwhile = meanwhile;
    this.#way = faultyStorage(destination.sound(), this.#script());
  }

  /** Runs a part of it; what it opens and calls meanwhile is its own. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    return await running.run(this, work);
  }

  #script(): readonly Fault[] {
    const mishap = this.#mishap;
    if (mishap?.is === 'outage') {
      const calls = ['put', 'get', 'list', 'folders', 'remove'] as const;
      return calls.map((on) => ({ on, do: 'fail-before', kind: mishap.kind }));
    }
    if (mishap?.is !== 'fault') return [];
    const { fault } = mishap;
    if (!('afterBytes' in fault)) return [fault];
    const { afterBytes } = fault;
    const trouble = () => {
      this.isTroubled = true;
      return afterBytes;
    };
    return [
      {
        ...fault,
        // Asked only when it comes to that.
        get afterBytes() {
          return trouble();
        },
      },
    ];
  }

  readonly step: WalSteps = (step) => {
    this.#live();
    const mishap = this.#mishap;
    if (mishap?.is !== 'death at' && mishap?.is !== 'meanwhile at') return;
    if (mishap.step !== step || this.#count(step) !== mishap.nth) return;
    if (mishap.is === 'meanwhile at') {
      this.isTroubled = true;
      this.#meanwhile?.atStep(mishap.act);
      return;
    }
    this.diedAt = step;
    this.#die();
  };

  #count(what: string): number {
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    return count;
  }

  #die(): never {
    this.isDead = true;
    throw dead();
  }

  #live(): void {
    if (this.isDead) throw dead();
  }

  /** A call to the destination. */
  async call<T>(isPut: boolean, work: (way: Storage) => Promise<T>): Promise<T> {
    this.#live();
    const mishap = this.#mishap;
    const isHit =
      (mishap?.is === 'death' || mishap?.is === 'meanwhile') &&
      (isPut || !mishap.put) &&
      this.#count('call') === mishap.nth;
    if (isHit) this.isTroubled = true;
    if (isHit && mishap.is === 'meanwhile') await this.#meanwhile?.atCall(mishap.act);
    if (isHit && mishap.is === 'death' && mishap.when === 'before') this.#die();
    try {
      const answer = await work(this.#way);
      if (isHit && mishap.is === 'death') this.#die();
      this.#live();
      return answer;
    } catch (error) {
      if (isFailure(error, 'unavailable', 'refused')) this.isTroubled = true;
      throw error;
    }
  }
}

function dead(): Failure {
  return new Failure('internal', 'this program is dead');
}

/** The program in which this is called, if it is one of a history's. */
export function currentProgram(): Program | undefined {
  return running.getStore();
}

/** Does something that no program of a history does, also from within one. */
export function asNobody(work: () => void): void {
  running.exit(work);
}

function current(): Program {
  const program = currentProgram();
  if (program === undefined) throw new Error('somebody else than a program of the history opens the destination');
  return program;
}

/** The step of the program that comes to it. */
export const stepOfProgram: WalSteps = (step) => {
  current().step(step);
};

/** What takes the place of `openStorage`: the destination of the history, by way of the program that asks. */
export function openForProgram(): Promise<Storage> {
  const { destination } = current();
  const to = async <T>(work: (way: Storage) => Promise<T>): Promise<T> => await current().call(false, work);
  const storage: Storage = {
    ...destination.sound(),
    put: async (key, body, pace) => await current().call(true, async (way) => await way.put(key, body, pace)),
    get: async (key, range) => await to(async (way) => await way.get(key, range)),
    list: async function* (prefix) {
      yield* await to((way) => Promise.resolve(way.list(prefix)));
    },
    folders: async (prefix) => await to(async (way) => await way.folders(prefix)),
    remove: async (key) => await to(async (way) => await way.remove(key)),
    close: () => Promise.resolve(),
  };
  return Promise.resolve(storage);
}

/** The destination of a history, which remembers all that it ever held. */
export class HistoryDestination {
  readonly #memory = new MemoryDestination();
  readonly #first = new Map<string, Buffer>();
  readonly #faults: string[] = [];
  /** Told what is about to be removed, where that may happen. */
  removes: ((key: string) => void) | undefined;

  /** Opens it with nothing in between. */
  sound(): Storage {
    const inner = this.#memory.open();
    return {
      ...inner,
      put: async (key, body, pace) => {
        await inner.put(key, body, pace);
        const whole = this.#memory.objects.get(key);
        if (this.#first.has(key)) this.#faults.push(`${key} was stored in the place of another`);
        this.#first.set(key, Buffer.from(whole ?? []));
      },
      remove: async (key) => {
        if (this.removes === undefined) this.#faults.push(`${key} was removed, and nobody prunes`);
        else if (this.has(key)) this.removes(key);
        await inner.remove(key);
        if (this.removes !== undefined) this.#first.delete(key);
      },
    };
  }

  has(key: string): boolean {
    return this.#memory.objects.has(key);
  }

  /** It holds this object from now on; whoever stored it has proven that elsewhere. */
  seed(key: string, whole: Uint8Array): void {
    this.#memory.objects.set(key, whole);
    this.#first.set(key, Buffer.from(whole));
  }

  keys(prefix: string): readonly string[] {
    return [...this.#memory.objects.keys()].filter((key) => key.startsWith(prefix)).toSorted();
  }

  /** What the owner's prune does to what nothing needs any more. */
  prune(key: string): void {
    this.#memory.objects.delete(key);
    this.#first.delete(key);
  }

  /** What should never have happened to an object: it was replaced, removed or changed. */
  faults(): readonly string[] {
    const changed = [...this.#first].flatMap(([key, whole]) => {
      const now = this.#memory.objects.get(key);
      return now !== undefined && whole.equals(now) ? [] : [`${key} is not what was stored`];
    });
    return [...this.#faults, ...changed];
  }
}
