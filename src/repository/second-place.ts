import * as z from 'zod';
import { Failure, isFailure, toFailure } from '../core/failure.ts';
import { ownerSchema, ownerText } from '../core/incarnation.ts';
import { within } from '../system/deadline.ts';
import { parseJson } from '../system/files.ts';
import type { LackingFolder, Side } from '../system/lacking.ts';
import type { Storage } from '../storage/storage.ts';
import { copyMark } from './copy-order.ts';
import { copyClaim, smallObject } from './copy-taken.ts';
import { claimOf } from './doubled-key.ts';
import { layout } from './layout.ts';

/** A destination that is opened when it is first needed, and again after it could not be. */
export class LazyPlace {
  readonly url: string;
  readonly #open: () => Promise<Storage>;
  #opening: Promise<Storage> | undefined;

  constructor(url: string, open: () => Promise<Storage>) {
    this.url = url;
    this.#open = open;
  }

  async storage(): Promise<Storage> {
    this.#opening ??= this.#open();
    try {
      return await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    const opened = await this.#opening?.catch(() => undefined);
    await opened?.close();
  }
}

/** How long somebody else's repository would not be noticed. */
const provenMs = 10_000;

/** Both destinations, and what is known of them. */
export class TwoPlaces {
  readonly first: LazyPlace;
  readonly second: LazyPlace;
  readonly folder: LackingFolder;
  /** So long is waited for an answer about which the other may be asked. */
  readonly askMs: number;
  #proven: { readonly at: number; readonly storage: Storage } | undefined;
  readonly #claims = new Map<string, number>();

  constructor(first: LazyPlace, second: LazyPlace, folder: LackingFolder, askMs: number) {
    this.first = first;
    this.second = second;
    this.folder = folder;
    this.askMs = askMs;
  }

  /** Leaves a side alone for some minutes, because of this. */
  async leaveAlone(side: Side, error: unknown): Promise<void> {
    if (side === 'second') {
      this.#proven = undefined;
      this.#claims.clear();
    }
    await this.folder.setAway(side, toFailure(error));
  }

  /**
   * The second destination where it can take this object, claims and all; otherwise it is left alone, and nothing is said.
   *
   * Fails with `refused` where both have other bytes under one name, or other owners of one line: that is for a person.
   */
  async secondFor(key: string): Promise<Storage | undefined> {
    const note = await this.folder.away('second');
    if (note?.kind === 'conflict') {
      throw new Failure('refused', note.message, { hint: note.hint ?? undefined });
    }
    if (note !== undefined) return undefined;
    try {
      return await within(this.askMs, `the second destination ${this.second.url}`, this.#readyFor(key));
    } catch (error) {
      await this.leaveAlone('second', ofSecond(error));
      if (isFailure(error, 'conflict')) throw contradiction(error);
      return undefined;
    }
  }

  /** The second destination, where it is this repository. Fails as it does where it is not. */
  async provenSecond(): Promise<Storage> {
    if (this.#proven !== undefined && performance.now() - this.#proven.at < provenMs) return this.#proven.storage;
    const storage = await this.second.storage();
    const found = await repositoryAt(storage);
    if (found === undefined) {
      throw new Failure('unavailable', `${storage.url} is not filled yet`, {
        hint: 'The unit that owns the cluster fills it by itself, within minutes.',
      });
    }
    const expected = await this.#expected();
    if (found !== expected) {
      throw new Failure('refused', `at ${storage.url} lies the repository ${found}, not ${expected}`, {
        hint: 'Set destination-2 to an empty place, or to one that holds a copy of this repository.',
      });
    }
    this.#proven = { at: performance.now(), storage };
    return storage;
  }

  /** What the second says, where it is this repository. */
  async askSecond<T>(what: string, ask: (second: Storage) => Promise<T>): Promise<T> {
    let second: Storage;
    try {
      second = await within(this.askMs, `the second destination ${this.second.url}`, this.provenSecond());
    } catch (error) {
      throw ofSecond(error);
    }
    return await within(this.askMs, `${second.url}/${what}`, ask(second));
  }

  /** What the first says, or while that can't be had the second. */
  async askEither<T>(what: string, askFirst: () => Promise<T>, askSecond: (second: Storage) => Promise<T>): Promise<T> {
    const fromSecond = async () => await this.askSecond(what, askSecond).catch(() => undefined);
    if ((await this.folder.away('first')) !== undefined) {
      const found = await fromSecond();
      if (found !== undefined) return found; // Otherwise the first is asked after all.
    }
    try {
      return await within(this.askMs, `${this.first.url}/${what}`, askFirst());
    } catch (error) {
      if (!isFailure(error, 'unavailable')) throw error;
      const found = await fromSecond();
      if (found === undefined) throw error; // What the first said comes first.
      await this.leaveAlone('first', error);
      return found;
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.first.close(), this.second.close()]);
  }

  async #readyFor(key: string): Promise<Storage> {
    const storage = await this.provenSecond();
    const claim = claimOf(key);
    if (claim === undefined || claim === key) return storage;
    const provenAt = this.#claims.get(claim);
    if (provenAt !== undefined && performance.now() - provenAt < provenMs) return storage;
    await this.#proveClaim(claim, storage);
    this.#claims.set(claim, performance.now());
    return storage;
  }

  /** What is claimed at the first is claimed here too; while that is away it must be claimed here already. */
  async #proveClaim(claim: string, copy: Storage): Promise<void> {
    if ((await this.folder.away('first')) === undefined) {
      try {
        const first = await this.first.storage();
        const original = { read: first.get.bind(first), storage: first };
        await copyClaim({ original, copy }, claim);
        return;
      } catch (error) {
        if (!isFailure(error, 'unavailable')) throw error;
      }
    }
    if ((await smallObject(copy.get(claim), claim)) !== undefined) return;
    throw new Failure('unavailable', `${claim} is not claimed at ${copy.url}, and the first destination is away`);
  }

  /** Which repository it must be: the first's, or while that is away the one that was copied there. */
  async #expected(): Promise<string> {
    try {
      if ((await this.folder.away('first')) === undefined) {
        const found = await within(this.askMs, this.first.url, this.first.storage().then(repositoryAt));
        if (found !== undefined) return found;
      }
    } catch (error) {
      if (!isFailure(error, 'unavailable')) throw error;
    }
    const filled = await this.folder.lastFilled();
    if (filled?.url === this.second.url) return filled.repositoryId;
    throw new Failure('unavailable', `nothing says which repository belongs at ${this.second.url}`, {
      hint: 'It is compared with the first destination as soon as that answers.',
    });
  }
}

/** The id of the repository at a place, or of the one that is being copied there; `undefined` where there positively is none. */
async function repositoryAt(storage: Storage): Promise<string | undefined> {
  const record = await smallObject(storage.get(layout.repository), layout.repository);
  if (record !== undefined) return parseJson(record.toString('utf8'), z.object({ id: z.string() }), storage.url).id;
  const mark = await smallObject(storage.get(copyMark), copyMark);
  return mark === undefined
    ? undefined
    : parseJson(mark.toString('utf8'), z.object({ of: z.string() }), storage.url).of;
}

/** Both destinations have other bytes under one name. It is no `conflict` with what the caller wants to store. */
export function contradiction(error: Failure): Failure {
  const { message, hint } = ofSecond(error);
  return new Failure('refused', message, { hint, cause: error });
}

/** A failure of the second destination, which says so; its options have names of their own. */
export function ofSecond(error: unknown): Failure {
  const { kind, message, hint } = toFailure(error);
  if (message.startsWith('the second destination')) return toFailure(error);
  const own = hint?.replaceAll(
    /(?<![\w-])((?:sftp|s3)-(?:host|private|endpoint|region|uri|access|secret|ca)[a-z-]*|destination)(?=[\s:=.,;]|$)/g,
    (name) => (name === 'destination' ? 'destination' : `destination-2-${name}`),
  );
  return new Failure(kind, `the second destination: ${message}`, { hint: own, cause: error });
}

/** Whose a line is at the second; `undefined` where that can't be said now. Fails with `refused` where it is another's. */
export async function claimedAt(
  places: TwoPlaces,
  { second, key, ownerId }: { readonly second: Storage; readonly key: string; readonly ownerId: string },
): Promise<'ours' | 'nobody' | undefined> {
  let there: Buffer | undefined;
  try {
    there = await within(places.askMs, `${second.url}/${key}`, smallObject(second.get(key), key));
  } catch (error) {
    await places.leaveAlone('second', ofSecond(error));
    return undefined;
  }
  if (there === undefined) return 'nobody';
  const found = parseJson(there.toString('utf8'), ownerSchema, `${second.url}/${key}`);
  if (found.ownerId === ownerId) return 'ours';
  throw new Failure('refused', `${key} belongs to ${ownerText(found)} at ${second.url}`, {
    hint: 'Both went on by themselves: set destination-2 to an empty place. Nothing was claimed.',
  });
}
