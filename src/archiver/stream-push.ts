import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isFailure } from '../core/failure.ts';
import { timelineOfSegment, timelinePath } from '../core/timeline.ts';
import { parseWalName, readWalName, segmentNamed, type SegmentName, type WalName } from '../core/wal-name.ts';
import { layout } from '../repository/layout.ts';
import { walNamesIn } from '../repository/wal-store.ts';
import { removeParts, storePart } from '../repository/wal-parts.ts';
import { isSameState, stateOf } from '../system/file-stamps.ts';
import { errorCode, withFile } from '../system/files.ts';
import { checkWalFile } from './check-wal-file.ts';
import { LateRequests } from './late-requests.ts';
import { storeUnchanged, type StoreSession } from './push-wal.ts';
import { forget, knownLength, newest, readReceived, type Unfinished } from './stream-folder.ts';
import type { StreamLook } from './stream-source.ts';
import type { StreamStep, StreamSteps } from './wal-steps.ts';

/** How often the beginning of an unfinished segment is stored at most, and how much longer than a push the pause is. */
const shortestPauseMs = 2000;
const pausesPerPush = 20;

/** Brings what was received to the repository, oldest first, with what is known of earlier rounds. */
export class StreamPush {
  readonly #folder: string;
  readonly #step: StreamSteps;
  readonly #stored = new Set<string>();
  /** The parts that are stored of the segments that are not finished. */
  readonly #parts = new Map<string, number[]>();
  #partAfter = 0;
  readonly #requests = new LateRequests();

  constructor(folder: string, step: StreamSteps) {
    this.#folder = folder;
    this.#step = step;
  }

  /** Tells whether there is anything that the repository does not have yet and could be given now. */
  async isDue(): Promise<boolean> {
    const received = await readReceived(this.#folder);
    if ([...received.histories, ...received.finished].some(({ name }) => !this.#stored.has(name))) return true;
    if (received.unfinished.length > 1) return true;
    if (performance.now() < this.#partAfter) return false;
    const [last] = received.unfinished;
    return last !== undefined && (await this.#hasNews(last)) > 0;
  }

  /** Stores all that is finished, and the beginning of what is not. */
  async push(session: StoreSession): Promise<void> {
    this.#requests.refuse();
    const { histories, finished } = await readReceived(this.#folder);
    for (const name of histories) await this.#store(session, name, join(this.#folder, name.name), 'history stored');
    for (const name of finished) {
      await this.#store(session, name, join(this.#folder, name.name), 'segment stored');
      await this.#sweepParts(session, name, Infinity);
    }
    // Again: the newest of those may have had no successor at the beginning.
    const now = await readReceived(this.#folder);
    const last = newest(now)?.segment.name;
    for (const { name } of finished)
      if (name !== last && this.#stored.has(name)) await this.#forget(name, 'segment forgotten');
    // Finished in between: the line is stored in its order, so that what is stored has no gap at any time.
    if ([...now.histories, ...now.finished].some(({ name }) => !this.#stored.has(name))) return;
    for (const each of now.unfinished) {
      const isCurrent = each.segment.name === last;
      if (isCurrent && performance.now() < this.#partAfter) continue;
      const began = performance.now();
      const isStored = await this.#storePart(session, each);
      if (isCurrent && isStored)
        this.#partAfter = performance.now() + Math.max(shortestPauseMs, pausesPerPush * (performance.now() - began));
      // A beginning that goes no further: its timeline has ended, or the stream began anew further on.
      if (!isCurrent) await this.#forget(`${each.segment.name}.partial`, 'beginning forgotten');
    }
  }

  /** Stores all that lies here, and removes it: the server goes another way than it did. */
  async retire(session: StoreSession): Promise<void> {
    const { finished, unfinished } = await readReceived(this.#folder);
    for (const name of finished) await this.#store(session, name, join(this.#folder, name.name), 'left stored');
    for (const each of unfinished) await this.#storePart(session, each);
    for (const { name } of finished) if (this.#stored.has(name)) await this.#forget(name, 'left forgotten');
    for (const { segment } of unfinished) await this.#forget(`${segment.name}.partial`, 'left forgotten');
  }

  /**
   * Stores what the server still has from before the stream's first segment, oldest first, back to what is stored: after a
   * slot was made, nothing that can still be had is missing.
   */
  async pushEarlier(session: StoreSession, walFolder: string, look: StreamLook, first: number): Promise<void> {
    const path = timelinePath(look.timeline, look.history, look.segmentSize);
    const there = new Set(await readdir(walFolder));
    for (const text of [...there].sort()) {
      const name = readWalName(text);
      const isOnPath = name?.timeline === look.timeline || look.history.some(({ parent }) => parent === name?.timeline);
      if (name?.kind === 'history' && isOnPath)
        await this.#store(session, name, join(walFolder, text), 'earlier stored');
    }
    const missing: SegmentName[] = [];
    const folders = new Map<string, ReadonlySet<string>>();
    for (let number = first - 1; number >= 0; number -= 1) {
      const timeline = timelineOfSegment(path, number);
      const name = timeline === undefined ? undefined : segmentNamed(timeline, number, look.segmentSize);
      if (name === undefined || !there.has(name.name)) break;
      const key = layout.walFolder(session.owner, name);
      const stored = folders.get(key) ?? (await walNamesIn(session.repository, key));
      folders.set(key, stored);
      if (stored.has(name.name)) break;
      missing.push(name);
    }
    for (const name of missing.toReversed()) {
      const from = join(walFolder, name.name);
      try {
        await this.#store(session, name, from, 'earlier stored');
      } catch (error) {
        // Recycled since: it is not what its name says any more, and what is missing now is found as a hole.
        if (stateOf(from) !== undefined && !isFailure(error, 'refused', 'damaged')) throw error;
      }
    }
  }

  async #store(session: StoreSession, name: WalName, path: string, step: StreamStep): Promise<void> {
    if (this.#stored.has(name.name)) return;
    const state = stateOf(path);
    if (state === undefined) return;
    await checkWalFile(path, name, session.owner.systemIdentifier);
    await this.#requests.bounded(`storing ${name.name}`, storeUnchanged(session, name, path, state));
    if (!isSameState(state, stateOf(path))) return;
    this.#step(step);
    this.#stored.add(name.name);
  }

  async #forget(file: string, step: StreamStep): Promise<void> {
    await forget(this.#folder, file);
    this.#step(step);
  }

  async #hasNews({ segment, path, sizeBytes }: Unfinished): Promise<number> {
    const length = await knownLength(path, sizeBytes).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return 0; // It was finished in this moment.
      throw error;
    });
    return length > (this.#parts.get(segment.name)?.at(-1) ?? 0) ? length : 0;
  }

  async #storePart(session: StoreSession, unfinished: Unfinished): Promise<boolean> {
    const { segment, path } = unfinished;
    const length = await this.#hasNews(unfinished);
    if (length === 0) return false;
    try {
      await checkWalFile(path, parseWalName(`${segment.name}.partial`), session.owner.systemIdentifier);
      await withFile(path, async (fill) => {
        let given = 0;
        const read = async (buffer: Uint8Array): Promise<number> => {
          const count = await fill(buffer.subarray(0, Math.min(buffer.byteLength, length - given)));
          given += count;
          return count;
        };
        const storing = storePart(session.repository, session.owner, segment, { read, length }, session.level);
        await this.#requests.bounded(`storing the beginning of ${segment.name}`, storing);
      });
    } catch (error) {
      // Finished in between: it is stored whole then. One of this length with another end is superseded by a longer one.
      if (stateOf(path) === undefined) return false;
      if (!isFailure(error, 'conflict')) throw error;
    }
    this.#step('beginning stored');
    this.#parts.set(segment.name, [...(this.#parts.get(segment.name) ?? []), length]);
    await this.#sweepParts(session, segment, length);
    return true;
  }

  /** What is stored in a longer one is swept; what can't be had now, and those of an earlier archiver, are swept by prune. */
  async #sweepParts({ repository, owner }: StoreSession, segment: SegmentName, below: number): Promise<void> {
    const known = this.#parts.get(segment.name) ?? [];
    const spent = known.filter((length) => length < below);
    if (spent.length === 0) return;
    try {
      await removeParts(repository, owner, segment, spent);
      this.#step('beginnings swept');
    } catch (error) {
      // A destination that is away keeps no WAL from another one that takes it.
      if (!isFailure(error, 'unavailable')) throw error;
    }
    const left = known.filter((length) => length >= below);
    if (left.length === 0) this.#parts.delete(segment.name);
    else this.#parts.set(segment.name, left);
  }
}
