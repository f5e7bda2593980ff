import { Failure } from '../core/failure.ts';
import type { Pace } from './pace.ts';

/** An object as a listing tells of it. */
export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
}

/** A stretch of an object in bytes, `end` not included. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** What an operator should know about a destination. A `fault` can break a promise of ours, a `note` can not. */
export interface Remark {
  readonly is: 'fault' | 'note';
  readonly text: string;
  readonly hint?: string;
}

/**
 * Where bytes go. Keys are paths without a leading slash, of the characters A-Z a-z 0-9 . _ - @ and slashes between them;
 * no part of a key begins with a dot.
 *
 * Every destination keeps these guarantees; `tests/storage/contract.ts` holds each of them to it.
 *
 * - Objects are written once. Whoever reads, at any instant, finds a whole object or none.
 * - "Missing" is said only by a destination that positively lacks the object; when it can't tell, that is `unavailable`.
 * - Failures: `unavailable` (may pass: unreachable, full, I/O error), `refused` (a right is missing, or the destination
 *   can't keep the guarantees), and those named below.
 */
export interface Storage {
  /** Shown to people; holds no secret. */
  readonly url: string;

  /**
   * Stores all bytes of the body or nothing, and returns when they are durable.
   *
   * Fails with `conflict` when the key exists, whatever its bytes; the existing object is durable then.
   * An error of the body itself is passed on and leaves nothing under the key. Chunks stay as they are until the put has ended.
   * Where a pace is given, it is asked before bytes leave for the destination.
   */
  put(key: string, body: AsyncIterable<Uint8Array>, pace?: Pace): Promise<void>;

  /** The bytes of an object, or of a range of it. Fails with `missing` before the first byte, never after. */
  get(key: string, range?: Range): Promise<AsyncIterable<Uint8Array>>;

  /** Every object whose key begins with `prefix` (which ends with `/` or is empty), in the order of their keys' bytes. */
  list(prefix: string): AsyncIterable<StoredObject>;

  /**
   * The names of the next level below a prefix, folders with a slash at their end, in order: a listing that does not descend.
   *
   * `of` names an object there that the answer is wanted for: names that begin otherwise than its own does, up to its first
   * dot, may be left out; and of two destinations the one that alone has it may give the answer.
   */
  folders(prefix: string, of?: string): Promise<readonly string[]>;

  /** Removes an object durably; succeeds when it is already gone. */
  remove(key: string): Promise<void>;

  /** Removes what interrupted puts left below a prefix and nobody has touched since `before`; says how many. */
  sweep(prefix: string, before: Date): Promise<number>;

  /** How many bytes fit; `undefined` where the destination knows no end. */
  freeBytes(): Promise<number | undefined>;

  /** What time the destination's clock says. */
  clock(): Promise<Date>;

  /** Tells whether this user may store objects below a prefix. Leaves nothing there. */
  mayPut(prefix: string): Promise<boolean>;

  /** Looks at what lies outside of our hands: rules of the server, what it can't do. For `check`; may take a while. */
  remarks(): Promise<readonly Remark[]>;

  close(): Promise<void>;
}

/** How the keys begin that `folders` has to tell of. */
export function beginningWanted(prefix: string, of: string | undefined): string {
  return of === undefined ? prefix : prefix + (/^[^./]*/.exec(of.slice(prefix.length))?.[0] ?? '');
}

const keyPattern = /^[A-Za-z0-9_@-][A-Za-z0-9._@-]*(?:\/[A-Za-z0-9_@-][A-Za-z0-9._@-]*)*$/;

/** Fails when a key is none: a path of ours that could leave its place is a fault of ours, never passed on. */
export function checkKey(key: string): void {
  if (!keyPattern.test(key)) throw new Failure('internal', `"${key}" is not a key of an object`);
}
