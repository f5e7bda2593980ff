import { Failure, toFailure } from '../core/failure.ts';
import type { Storage } from '../storage/storage.ts';

/** So much of a body is held for the slower of two readers. */
const mostAhead = 4 * 1024 * 1024;
/** A destination that takes less than this is no faster by waiting. */
const slowestBytesPerSecond = 1_000_000;

/** What became of one of two puts. */
export type PutOutcome = { readonly is: 'stored' } | { readonly is: 'failed'; readonly failure: Failure };

/** Gives a body to a put; `Infinity` as a patience waits for ever. */
export interface DoubledPut {
  readonly put: (body: AsyncIterable<Uint8Array>) => Promise<void>;
  /** So long it may take nothing before it is given up. */
  readonly stallMs: number;
}

/** What became of both, and how long the body was. */
export interface DoubledOutcome {
  readonly first: PutOutcome;
  readonly second: PutOutcome;
  readonly sizeBytes: number;
}

/**
 * Reads a body once and gives it to two puts at the same time, the second of which may finish only when the first has ended:
 * `mayFinish` looks at how, and where it throws, the second stores nothing.
 *
 * Neither holds the other for ever: who takes nothing for so long is given up, and what it does after that is for nobody.
 * Chunks are copied, so that whoever reuses the buffers of the body meets no reader of them. Fails with the body's own error.
 */
export async function putDoubled(
  body: AsyncIterable<Uint8Array>,
  first: DoubledPut,
  second: DoubledPut,
  mayFinish: (first: PutOutcome) => void,
): Promise<DoubledOutcome> {
  const gate = Promise.withResolvers<void>();
  gate.promise.catch(() => undefined); // It is asked for by the second's branch only.
  const branches = [new Branch(Promise.resolve()), new Branch(gate.promise)] as const;
  const firstEnd = ended(first, branches[0]).then((outcome) => {
    try {
      mayFinish(outcome);
      branches[1].touch();
      gate.resolve();
    } catch (error) {
      gate.reject(error);
    }
    return outcome;
  });
  const secondEnd = ended(second, branches[1]);
  let sizeBytes = 0;
  let broken: { readonly error: unknown } | undefined;
  try {
    for await (const chunk of body) {
      sizeBytes += chunk.byteLength;
      const own = Uint8Array.from(chunk);
      for (const branch of branches) branch.push(own);
      await Promise.all(branches.map(async (branch) => await branch.room()));
      if (branches.every((branch) => branch.isLeft)) break;
    }
  } catch (error) {
    broken = { error };
  }
  for (const branch of branches) branch.end(broken);
  const [one, other] = await Promise.all([firstEnd, secondEnd]);
  if (broken !== undefined) throw broken.error;
  return { first: one, second: other, sizeBytes };
}

/** The same for one put alone: it is given up when it takes nothing for so long. */
export async function putBounded(
  body: AsyncIterable<Uint8Array>,
  put: DoubledPut,
): Promise<{ readonly outcome: PutOutcome; readonly sizeBytes: number }> {
  const nobody = { put: async () => undefined, stallMs: Infinity };
  const { second, sizeBytes } = await putDoubled(body, nobody, put, () => undefined);
  return { outcome: second, sizeBytes };
}

/** Waits for a put until it ends or stalls; nothing is held for it after that. */
async function ended({ put, stallMs }: DoubledPut, branch: Branch): Promise<PutOutcome> {
  const stalled = Promise.withResolvers<PutOutcome>();
  const timer = setInterval(
    () => {
      if (!branch.isStalled(stallMs)) return;
      const failure = new Failure('unavailable', `the destination took nothing for ${Math.ceil(stallMs / 1000)} s`, {
        hint: 'Does the destination answer? Look at its mount and its load.',
      });
      stalled.resolve({ is: 'failed', failure });
    },
    Math.min(500, stallMs / 4),
  );
  const done = put(branch).then(
    (): PutOutcome => ({ is: 'stored' }),
    (error: unknown): PutOutcome => ({ is: 'failed', failure: toFailure(error) }),
  );
  try {
    return await Promise.race([done, stalled.promise]);
  } finally {
    clearInterval(timer);
    branch.leave(new Failure('unavailable', 'nobody waits for this put any more'));
  }
}

/** One reader's side of a body. */
class Branch implements AsyncIterable<Uint8Array> {
  readonly #mayFinish: Promise<void>;
  readonly #chunks: Uint8Array[] = [];
  #held = 0;
  #given = 0;
  #end: { readonly broken: { readonly error: unknown } | undefined } | undefined;
  #isLeft = false;
  #isWaiting = false;
  #movedAt = performance.now();
  #changed = Promise.withResolvers<void>();

  constructor(mayFinish: Promise<void>) {
    this.#mayFinish = mayFinish;
  }

  get isLeft(): boolean {
    return this.#isLeft;
  }

  push(chunk: Uint8Array): void {
    if (this.#isLeft) return;
    if (this.#chunks.length === 0) this.touch();
    this.#chunks.push(chunk);
    this.#held += chunk.byteLength;
    this.#notify();
  }

  /** Waits until not too much is held; who has left is not waited for. */
  async room(): Promise<void> {
    while (this.#held > mostAhead && !this.#isLeft) await this.#changed.promise;
  }

  end(broken: { readonly error: unknown } | undefined): void {
    if (this.#isLeft) return; // Who was given up must never take this for the whole body.
    this.#end = { broken };
    this.touch();
    this.#notify();
  }

  /** Nobody reads on; who does all the same fails. */
  leave(why: Failure): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    this.#end = { broken: { error: why } };
    this.#chunks.length = 0;
    this.#held = 0;
    this.#notify();
  }

  touch(): void {
    this.#movedAt = performance.now();
  }

  /** It has something to take, or to end, and does not. */
  isStalled(stallMs: number): boolean {
    const hasNothing = this.#chunks.length === 0 && this.#end === undefined;
    if (hasNothing || this.#isWaiting) return false;
    // What was given may still be on its way when the body has ended.
    const onItsWay = this.#end === undefined ? 0 : (this.#given / slowestBytesPerSecond) * 1000;
    return performance.now() - this.#movedAt > stallMs + onItsWay;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#held -= chunk.byteLength;
        this.#given += chunk.byteLength;
        this.touch();
        this.#notify();
        yield chunk;
        continue;
      }
      if (this.#end?.broken !== undefined) throw this.#end.broken.error;
      if (this.#end !== undefined) return await this.#finish();
      await this.#changed.promise;
    }
  }

  async #finish(): Promise<void> {
    this.#isWaiting = true;
    try {
      await this.#mayFinish;
    } finally {
      this.#isWaiting = false;
      this.touch();
    }
    if (this.#end?.broken !== undefined) throw this.#end.broken.error;
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** How long a stored object is; 0 where it is not listed. */
export async function sizeAt(storage: Storage, key: string): Promise<number> {
  const folder = key.slice(0, key.lastIndexOf('/') + 1);
  for await (const object of storage.list(folder)) if (object.key === key) return object.sizeBytes;
  return 0;
}

/** A body that knows how long it was. */
export function countBytes(body: AsyncIterable<Uint8Array>): {
  readonly body: AsyncIterable<Uint8Array>;
  readonly sizeBytes: () => number;
} {
  let sizeBytes = 0;
  const counted = async function* () {
    for await (const chunk of body) {
      sizeBytes += chunk.byteLength;
      yield chunk;
    }
  };
  return { body: counted(), sizeBytes: () => sizeBytes };
}
