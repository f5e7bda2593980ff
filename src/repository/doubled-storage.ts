import { ownerSchema } from '../core/incarnation.ts';
import { Failure, isFailure, toFailure } from '../core/failure.ts';
import { within } from '../system/deadline.ts';
import { parseJson } from '../system/files.ts';
import type { Pace } from '../storage/pace.ts';
import type { Range, Remark, Storage, StoredObject } from '../storage/storage.ts';
import { copyAppended, proveSame, type ObjectSides } from './copy-taken.ts';
import { copyClass } from './copy-order.ts';
import { countBytes, putBounded, putDoubled, sizeAt, type PutOutcome } from './doubled-body.ts';
import { doubledClass, isBefore, type DoubledClass } from './doubled-key.ts';
import { claimedAt, contradiction, ofSecond, type TwoPlaces } from './second-place.ts';
import { bytesOf, collect } from './small-object.ts';

/** How long a destination may take nothing while another one would. */
export interface DoubledPatience {
  readonly stallMs: number;
}

const smallLimit = 64 * 1024 * 1024;

/**
 * Two destinations behind the interface of one: what is stored is durable at the first and at the second, or where one of them
 * can't take it, durably noted in the unit's folder as lacking there, before anybody is told.
 *
 * The first says what there is: listings are its own, and what is noted as lacking there. An object that is found at either is
 * that object, for nothing is ever overwritten; that it is missing only the first can say. What `README.md` calls the second
 * destination says when the second is left alone, and who brings over what either lacks.
 */
export class DoubledStorage implements Storage {
  readonly #places: TwoPlaces;
  readonly #patience: DoubledPatience;

  constructor(places: TwoPlaces, patience: DoubledPatience) {
    this.#places = places;
    this.#patience = patience;
  }

  get url(): string {
    return this.#places.first.url;
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, pace?: Pace): Promise<void> {
    const kind = doubledClass(key);
    if (kind === 'first') return await (await this.#first()).put(key, body, pace);
    if (kind === 'claim') return await this.#claim(key, body);
    const second = await this.#secondFor(key, kind);
    if (second === undefined) return await this.#putFirst(key, body, pace);
    if (kind === 'wal' && (await this.#places.folder.away('first')) !== undefined) {
      return await this.#putSecond(key, second, body);
    }
    await this.#putBoth(key, { kind, second, pace }, body);
  }

  async get(key: string, range?: Range): Promise<AsyncIterable<Uint8Array>> {
    // Asked before the first is: what is brought over meanwhile is there by then.
    const isLacking = doubledClass(key) === 'wal' && (await this.#places.folder.entry('first', key)) !== undefined;
    const read = async (storage: Storage) => await storage.get(key, range);
    try {
      return await this.#places.askEither(key, async () => await read(await this.#first()), read);
    } catch (error) {
      if (!isLacking || !isFailure(error, 'missing')) throw error;
      return await this.#places.askSecond(key, read);
    }
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    // Read before the first is listed: what is brought over meanwhile is in the listing.
    const lacking: StoredObject[] = [];
    for (const key of await this.#lackingBelow(prefix)) {
      const entry = await this.#places.folder.entry('first', key);
      if (entry !== undefined) lacking.push({ key, sizeBytes: entry.sizeBytes });
    }
    let at = 0;
    for await (const object of (await this.#first()).list(prefix)) {
      for (let other = lacking[at]; other !== undefined && other.key <= object.key; other = lacking[(at += 1)]) {
        if (other.key < object.key) yield other;
      }
      yield object;
    }
    yield* lacking.slice(at);
  }

  /** What is noted as lacking at the first is compared with what is there when it is brought over: until then the second may answer. */
  async folders(prefix: string, of?: string): Promise<readonly string[]> {
    if (of === undefined || (await this.#places.folder.entry('first', of)) === undefined) {
      return await this.#folders(prefix, of);
    }
    const ofSecond = async (second: Storage) => {
      const names = await second.folders(prefix, of);
      if (names.includes(of.slice(prefix.length))) return names;
      throw new Failure('missing', `${of} is not at ${second.url} any more`);
    };
    return await this.#places.askEither(prefix, async () => await this.#folders(prefix, of), ofSecond);
  }

  async #folders(prefix: string, of?: string): Promise<readonly string[]> {
    const below = await this.#lackingBelow(prefix); // Before the first is asked, as in a listing.
    const lacking = below.map((key) => /^[^/]*\/?/.exec(key.slice(prefix.length))?.[0] ?? '');
    const names = await (await this.#first()).folders(prefix, of);
    return lacking.length === 0 ? names : [...new Set([...names, ...lacking])].toSorted();
  }

  /** Removes what the first has; the second is pruned by itself, by what lies there. */
  async remove(key: string): Promise<void> {
    const { folder } = this.#places;
    if ((await folder.entry('first', key)) !== undefined) {
      await this.#places.askSecond(key, async (second) => {
        await second.remove(key);
      });
      await folder.drop('first', key);
      // It lay at the second alone. What came to the first all the same is found by whoever stores or prunes there.
      if ((await folder.away('first')) !== undefined) return;
    }
    await (await this.#first()).remove(key);
    await folder.drop('second', key);
  }

  async sweep(prefix: string, before: Date): Promise<number> {
    return await (await this.#first()).sweep(prefix, before);
  }

  async freeBytes(): Promise<number | undefined> {
    return await (await this.#first()).freeBytes();
  }

  async clock(): Promise<Date> {
    return await (await this.#first()).clock();
  }

  async mayPut(prefix: string): Promise<boolean> {
    return await (await this.#first()).mayPut(prefix);
  }

  async remarks(): Promise<readonly Remark[]> {
    return await (await this.#first()).remarks();
  }

  async close(): Promise<void> {
    await this.#places.close();
  }

  async #first(): Promise<Storage> {
    return await this.#places.first.storage();
  }

  async #lackingBelow(prefix: string): Promise<readonly string[]> {
    return (await this.#places.folder.keys('first')).filter((key) => key.startsWith(prefix));
  }

  /** A record goes to the second only when nothing is lacking there that it may speak of. */
  async #secondFor(key: string, kind: DoubledClass): Promise<Storage | undefined> {
    if (kind === 'record') {
      const lacking = await this.#places.folder.keys('second');
      if (lacking.some((each) => isBefore(each, key))) return undefined;
    }
    return await this.#places.secondFor(key);
  }

  /** Where the second can't be had now. A name that is taken at the first may still be lacking there. */
  async #putFirst(key: string, body: AsyncIterable<Uint8Array>, pace: Pace | undefined): Promise<void> {
    const counted = countBytes(body);
    try {
      await (await this.#first()).put(key, counted.body, pace);
    } catch (error) {
      if (isFailure(error, 'conflict') && copyClass(key) === 'data') await this.#lacks('second', key, 0);
      throw error;
    }
    await this.#lacks('second', key, counted.sizeBytes());
  }

  /** Where the first can't be had now: WAL must not wait for it. */
  async #putSecond(key: string, second: Storage, body: AsyncIterable<Uint8Array>): Promise<void> {
    const put = async (own: AsyncIterable<Uint8Array>) => await second.put(key, own);
    const { outcome, sizeBytes } = await putBounded(body, { put, stallMs: this.#patience.stallMs });
    if (outcome.is === 'stored') return await this.#lacks('first', key, sizeBytes);
    if (outcome.failure.kind !== 'conflict') {
      await this.#places.leaveAlone('second', ofSecond(outcome.failure));
      throw ofSecond(outcome.failure);
    }
    // Whoever is told of it compares it with what lies there; it lies there alone, as far as anybody can tell.
    await this.#lacks('first', key, await sizeAt(second, key));
    throw outcome.failure;
  }

  async #putBoth(
    key: string,
    { kind, second, pace }: { readonly kind: DoubledClass; readonly second: Storage; readonly pace: Pace | undefined },
    body: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { stallMs } = this.#patience;
    const {
      first,
      second: other,
      sizeBytes,
    } = await putDoubled(
      body,
      {
        stallMs: kind === 'wal' ? stallMs : Infinity,
        put: async (own) => await (await this.#first()).put(key, own, pace),
      },
      { stallMs, put: async (own) => await second.put(key, own) },
      (outcome) => {
        if (outcome.is === 'failed' && (kind !== 'wal' || outcome.failure.kind === 'conflict')) throw outcome.failure;
      },
    );
    if (first.is === 'stored') return await this.#settleSecond(key, second, other, sizeBytes);
    if (first.failure.kind === 'conflict') {
      if (copyClass(key) === 'data') await this.#proveOrNote(key, second, 0);
      throw first.failure;
    }
    const isThere = other.is === 'stored' || other.failure.kind === 'conflict';
    if (kind !== 'wal' || !isThere) throw first.failure;
    await this.#places.leaveAlone('first', first.failure);
    await this.#lacks('first', key, other.is === 'stored' ? sizeBytes : await sizeAt(second, key));
    if (other.is === 'failed') throw other.failure;
  }

  /** The first has it: what the second has not is noted before this returns, and what contradicts is an error. */
  async #settleSecond(key: string, second: Storage, outcome: PutOutcome, sizeBytes: number): Promise<void> {
    if (outcome.is === 'stored') return;
    if (outcome.failure.kind !== 'conflict') {
      await this.#lacks('second', key, sizeBytes);
      await this.#places.leaveAlone('second', ofSecond(outcome.failure));
      return;
    }
    if (copyClass(key) === 'appended') await this.#appendSecond(key, second, sizeBytes);
    else await this.#proveOrNote(key, second, sizeBytes);
  }

  /** A row of records may have grown at the second by itself, after a copy. */
  async #appendSecond(key: string, second: Storage, sizeBytes: number): Promise<void> {
    try {
      await copyAppended(await this.#sides(second), key);
    } catch (error) {
      await this.#lacks('second', key, sizeBytes);
      await this.#places.leaveAlone('second', ofSecond(error));
    }
  }

  /** Both may have it: then it must be the same. Fails with `refused`, for the first has nothing of a conflict to say. */
  async #proveOrNote(key: string, second: Storage, sizeBytes: number): Promise<void> {
    const { askMs } = this.#places;
    try {
      await within(askMs, `comparing ${key}`, proveSame(await this.#sides(second), key));
    } catch (error) {
      if (isFailure(error, 'conflict')) {
        await this.#lacks('second', key, sizeBytes);
        await this.#places.leaveAlone('second', ofSecond(error));
        throw contradiction(error);
      }
      await this.#lacks('second', key, sizeBytes);
      if (!isFailure(error, 'missing')) await this.#places.leaveAlone('second', ofSecond(error));
    }
  }

  /** A claim needs the first and is repeated at the second. Fails with `refused` before the first where the second says otherwise. */
  async #claim(key: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    const bytes = await collect(body, key, smallLimit);
    const { ownerId } = parseJson(bytes.toString('utf8'), ownerSchema, key);
    const second = await this.#places.secondFor(key);
    const there = second === undefined ? undefined : await claimedAt(this.#places, { second, key, ownerId });
    await (await this.#first()).put(key, bytesOf(bytes));
    if (second === undefined || there === undefined) return await this.#lacks('second', key, bytes.byteLength);
    if (there === 'ours') return;
    const outcome = await within(this.#places.askMs, `${second.url}/${key}`, second.put(key, bytesOf(bytes))).then(
      (): PutOutcome => ({ is: 'stored' }),
      (error: unknown): PutOutcome => ({ is: 'failed', failure: toFailure(error) }),
    );
    await this.#settleSecond(key, second, outcome, bytes.byteLength);
  }

  async #sides(copy: Storage): Promise<ObjectSides> {
    const first = await this.#first();
    return { original: { read: first.get.bind(first), storage: first }, copy };
  }

  async #lacks(side: 'first' | 'second', key: string, sizeBytes: number): Promise<void> {
    const { folder, first, second } = this.#places;
    await folder.add(side, key, { sizeBytes, lies: side === 'first' ? second.url : first.url });
  }
}
