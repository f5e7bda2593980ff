import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toFailure } from '../core/failure.ts';
import type { ProcessMark } from '../core/job.ts';
import { plannedAfter, servePlanSchema, type PlannedSegment, type RestoreService } from '../core/restore-service.ts';
import { parseWalName, readWalName, segmentNumber } from '../core/wal-name.ts';
import type { Repository } from '../repository/repository.ts';
import { readJson } from '../system/files.ts';
import type { UnitFolder } from '../system/home.ts';
import { withExpected } from './open-expected.ts';
import { placeWal } from './place-wal.ts';
import { whereServed } from './restore-wal.ts';
import { makePrefetchSpool, type PrefetchSpool } from './prefetch-spool.ts';
import { makeWake } from './wake.ts';

/** What a prefetcher works for. */
export interface Prefetch {
  readonly unit: UnitFolder;
  /** Of the cluster that recovers. */
  readonly dataDirectory: string;
  readonly mark: ProcessMark;
  readonly signal: AbortSignal;
  /** How much may lie in the spool, what is being fetched included. */
  readonly byteLimit?: number;
}

const defaultByteLimit = 256 * 1024 * 1024;
const mostAhead = 32;
const parallel = 3;
/** Room that stays free whatever is fetched: the database that recovers may live on the same disk. */
const spareBytes = 1024 ** 3;
const pollMs = 100;
const pauseMs = 500;
/** What failed is tried again after what comes behind it: it may be the only one that is damaged. */
const failedPauseMs = 10_000;

/**
 * Fetches the segments of the plan in service ahead of recovery until the signal, verified as `restore-wal` does, into a
 * bounded spool; `prefetch-spool.ts` says how the front learns of them. Recovery works without, and with it killed at any
 * instant: what is absent is for `restore-wal` alone to say.
 */
export async function runPrefetch(prefetch: Prefetch): Promise<void> {
  const { unit, signal } = prefetch;
  const spool = makePrefetchSpool(unit, prefetch.dataDirectory, prefetch.mark);
  if (spool === undefined) return;
  try {
    const plan = await readJson(spool.plan, servePlanSchema);
    if (plan === undefined) return;
    const { service } = plan;
    const room = Math.floor((prefetch.byteLimit ?? defaultByteLimit) / service.segmentSize);
    if (room < 2) return;
    const fetching = new Fetching(spool, service, Math.min(room, mostAhead), signal);
    while (!signal.aborted) {
      try {
        const at = await whereServed(service, unit);
        await withExpected(at, service.repositoryId, async (repository) => {
          await fetching.run(repository);
        });
      } catch {
        // Whatever it was, `restore-wal` meets it too, with patience, and says so; here it is only tried again.
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined); // The end is no reason to wait.
    }
  } finally {
    spool.close();
  }
}

interface Asked {
  readonly name: string;
  readonly number: number;
  readonly timeline: number;
}

class Fetching {
  readonly #spool: PrefetchSpool;
  readonly #service: RestoreService;
  readonly #room: number;
  readonly #signal: AbortSignal;
  readonly #coming = new Set<string>();
  readonly #pausedUntil = new Map<string, number>();
  #asked: Asked | undefined;

  constructor(spool: PrefetchSpool, service: RestoreService, room: number, signal: AbortSignal) {
    this.#spool = spool;
    this.#service = service;
    this.#room = room;
    this.#signal = signal;
  }

  /** Fetches until the signal or the first failure, and waits for what is on its way. */
  async run(repository: Repository): Promise<void> {
    const wake = makeWake(this.#signal);
    const running = new Set<Promise<void>>();
    let failed: { readonly error: unknown } | undefined;
    while (!this.#signal.aborted && failed === undefined) {
      wake.look(this.#spool.folder);
      const next = this.#coming.size < parallel && (await this.#hasRoom()) ? this.#next() : undefined;
      if (next === undefined) {
        await wake.wait(pollMs);
        continue;
      }
      const fetching = this.#fetch(next, repository).catch((error: unknown) => {
        failed ??= { error };
      });
      running.add(fetching);
      void fetching.finally(() => running.delete(fetching));
    }
    wake.close();
    await Promise.all(running);
    if (failed !== undefined) throw toFailure(failed.error);
  }

  /** The first segment that recovery will ask for and that is neither here nor on its way. */
  #next(): PlannedSegment | undefined {
    // Looked at first: the front says what it asks for before it takes it, so what is gone here has been asked for by then.
    const ready = this.#spool.ready();
    const asked = this.#readAsked();
    const wanted = plannedAfter(this.#service, asked, this.#room);
    const useful = new Set(wanted.map(({ name }) => name));
    const held = new Set(this.#coming);
    for (const [name, where] of ready) {
      // What was asked for last may be on its way to recovery at this moment.
      if (name === asked?.name || (where === 'here' && useful.has(name))) held.add(name);
      else this.#spool.remove(name);
    }
    if (held.size >= this.#room) return undefined;
    const now = performance.now();
    return wanted.find(({ name }) => !held.has(name) && !((this.#pausedUntil.get(name) ?? 0) > now));
  }

  /** A name that is just being written reads as none: then it is the one before. */
  #readAsked(): Asked | undefined {
    const asked = readWalName(this.#spool.asked() ?? '');
    const number = asked?.kind === 'segment' ? segmentNumber(asked, this.#service.segmentSize) : undefined;
    if (asked !== undefined && number !== undefined) {
      this.#asked = { name: asked.name, number, timeline: asked.timeline };
    }
    return this.#asked;
  }

  async #hasRoom(): Promise<boolean> {
    const { bavail, bsize } = await statfs(this.#spool.folder);
    return bavail * bsize - (parallel + 1) * this.#service.segmentSize > spareBytes;
  }

  async #fetch({ name, incarnation, part }: PlannedSegment, repository: Repository): Promise<void> {
    const { systemIdentifier, segmentSize } = this.#service;
    this.#coming.add(name);
    try {
      this.#spool.setComing(name, true);
      const wanted = {
        name: parseWalName(name),
        target: join(this.#spool.folder, name),
        segmentSize,
        part,
        isWanted: () => !this.#signal.aborted,
      };
      await placeWal(repository, { systemIdentifier, incarnation }, wanted);
    } catch (error) {
      this.#pausedUntil.set(name, performance.now() + failedPauseMs);
      throw error;
    } finally {
      this.#coming.delete(name);
      this.#spool.setComing(name, false);
    }
  }
}
