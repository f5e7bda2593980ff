import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { Failure, toFailure } from '../core/failure.ts';
import type { WalName } from '../core/wal-name.ts';
import { noteArchiveFailure, noteArchiveSuccess } from '../system/archive-state.ts';
import { within } from '../system/deadline.ts';
import { stateOf } from '../system/file-stamps.ts';
import { readJson } from '../system/files.ts';
import { credentialsFile, ownerStateSchema, pinSchema, readSettings, settingsFile } from '../system/home.ts';
import { archivingText, checkOwnership, checkServer } from './archive-wal.ts';
import { KeptStorage } from './kept-storage.ts';
import { LateRequests } from './late-requests.ts';
import { openExpected } from './open-expected.ts';
import { parallelPushes, pushWal, walPath, type PushSession } from './push-wal.ts';
import type { ResidentArchiver } from './resident.ts';
import { closeSpool, openSpool, type ArchiveSpool } from './spool.ts';
import { readWaiting, statusFolder } from './waiting-wal.ts';

const noteLimitMs = 5000;
const beatMs = 1000;
/** As much of the queue as is worked on before it is looked at again. */
const batch = 64;
/** More acknowledgements than PostgreSQL fetches in seconds; it is not calling when there are so many. */
export const mostAcknowledged = 512;

/** One look at what waits and one push of it after the other, with what is kept in between. */
export class ArchiveRounds {
  readonly #archiver: ResidentArchiver;
  #dataDirectory: string | undefined;
  #spool: ArchiveSpool | undefined;
  readonly #storage = new KeptStorage();
  #oldest: string | undefined;
  /** What the last failure was about: what waited first, and who this unit was with which settings. */
  #failedAt: string | undefined;
  /** The file that failed. */
  #failed: string | undefined;
  readonly #requests = new LateRequests();
  #idle: string | undefined;
  #isFailing = true;

  constructor(archiver: ResidentArchiver) {
    this.#archiver = archiver;
  }

  /** Why nothing is archived here, where that is as it should be. */
  get idle(): string | undefined {
    return this.#idle;
  }

  /** Tells whether it is not the same any more that failed: PostgreSQL got past it, or somebody has changed what it goes by. */
  hasMoved(): boolean {
    return this.#standing() !== this.#failedAt;
  }

  #standing(): string {
    const { unit } = this.#archiver;
    const home = dirname(unit.path);
    const files = [unit.owner, unit.pin, settingsFile(home), credentialsFile(home)].map(stateOf);
    return [this.#oldest, ...files.map((state) => `${state?.inode} ${state?.modifiedNs}`)].join(' ');
  }

  /** Looks at what waits, and forgets the acknowledgements that PostgreSQL has fetched. */
  async look(watch: (folder: string) => void): Promise<readonly WalName[]> {
    this.#openSpool((this.#dataDirectory ??= await this.#archiver.dataDirectory()));
    const spool = this.#spool;
    if (spool === undefined) {
      this.#idle = 'this unit owns nothing that it could archive';
      return [];
    }
    this.#idle = undefined;
    watch(statusFolder(this.#dataDirectory));
    const waiting = await readWaiting(this.#dataDirectory);
    this.#oldest = waiting[0]?.name;
    const names = new Set(waiting.map(({ name }) => name));
    for (const name of spool.acknowledged()) if (!names.has(name)) spool.forget(name);
    return waiting;
  }

  #openSpool(dataDirectory: string): void {
    if (this.#spool?.isInForce() === true) return;
    const { unit, mark, step } = this.#archiver;
    this.#spool = openSpool({ unit, dataDirectory, mark, step });
    this.#storage.close();
  }

  /** Pushes the oldest of what waits; says whether there is more. Fails with that of the oldest file, when all others have ended. */
  async push(waiting: readonly WalName[]): Promise<boolean> {
    const spool = this.#spool;
    const dataDirectory = this.#dataDirectory;
    if (spool === undefined || dataDirectory === undefined) return false;
    const acknowledged = spool.acknowledged();
    const open = waiting.filter(({ name }) => {
      const state = stateOf(walPath(dataDirectory, name));
      if (state === undefined) return false;
      if (!acknowledged.has(name)) return true;
      if (spool.isAcknowledged(name, state)) return false;
      spool.forget(name); // Of other bytes, or half of one: who calls would not wait for a better one.
      return true;
    });
    const todo = open.slice(0, Math.min(batch, mostAcknowledged - acknowledged.size));
    if (todo.length === 0 && !this.#isFailing) return false;
    this.#failed = todo[0]?.name;
    this.#requests.refuse();
    const what = todo[0] === undefined ? 'opening the repository' : archivingText(todo[0].name);
    const session = await this.#bounded(what, this.#openSession(spool, dataDirectory));
    if (session === undefined) {
      this.#setFailing(true);
      return false;
    }
    const moved = await this.#pushAll(session, todo);
    this.#setFailing(false);
    if (moved > 0 || open.length === 0) await noteArchiveSuccess(this.#archiver.unit, this.#archiver.clock.now());
    return moved > 0 && open.length > todo.length;
  }

  #setFailing(isFailing: boolean): void {
    this.#spool?.setFailing(isFailing);
    this.#isFailing = isFailing;
  }

  /** At the end: who calls need not wait any more. */
  leave(): void {
    this.#spool?.leave();
  }

  /** After a failure: whoever waits for us need not, what is open is opened anew, and the status can say why. */
  async giveUp(failure: Failure): Promise<void> {
    this.#failedAt = this.#standing();
    this.#storage.close();
    this.#dataDirectory = undefined;
    try {
      this.#setFailing(true);
    } catch {
      // A spool that can't be written must not be waited for; out of service it is true again.
      closeSpool(this.#archiver.unit);
    }
    this.#spool = undefined;
    const name = this.#failed ?? this.#oldest;
    this.#failed = undefined;
    if (name === undefined) return; // Nothing waits, so nothing fails.
    const { unit, clock } = this.#archiver;
    // PostgreSQL's own call notes it too.
    await within(noteLimitMs, 'the note', noteArchiveFailure(unit, name, failure, clock.now())).catch(() => undefined);
  }

  async #openSession(spool: ArchiveSpool, dataDirectory: string): Promise<PushSession | undefined> {
    const { unit, step } = this.#archiver;
    const owner = await readJson(spool.owner, ownerStateSchema);
    const pin = await readJson(spool.pin, pinSchema);
    if (owner === undefined || pin === undefined) throw new Failure('machine', `${spool.folder} is not whole`);
    const settings = await readSettings(dirname(unit.path));
    const { destination, access, second, encryption, compressionLevel, walArchiving } = settings;
    if (destination === undefined || !walArchiving) {
      this.#idle = walArchiving ? 'the option destination is empty' : 'wal-archiving is false';
      return undefined;
    }
    await checkServer(unit, dataDirectory);
    // Other credentials, too, count at once and not only when the old ones have failed.
    const storage = await this.#storage.storage({ destination, access, second, privateFolder: unit.path });
    const repository = await openExpected(storage, pin.repositoryId, encryption);
    await checkOwnership(repository, owner);
    step('repository proven');
    return { unit, repository, owner, spool, dataDirectory, level: compressionLevel, step };
  }

  /** Pushes several at once, begun in order; after a failure none is begun any more. Says how many were stored. */
  async #pushAll(session: PushSession, todo: readonly WalName[]): Promise<number> {
    const { signal } = this.#archiver;
    let next = 0;
    let moved = 0;
    const failures: { readonly name: string; readonly error: unknown }[] = [];
    const size = Number(stateOf(walPath(session.dataDirectory, todo.at(-1)?.name ?? ''))?.sizeBytes ?? 0n);
    const worker = async (): Promise<void> => {
      for (;;) {
        const name = todo[next];
        if (name === undefined || failures.length > 0 || signal.aborted) return;
        next += 1;
        try {
          const pushing = pushWal(session, name);
          if ((await this.#bounded(archivingText(name.name), pushing)) !== 'changed') moved += 1;
        } catch (error) {
          failures.push({ name: name.name, error });
        }
      }
    };
    await Promise.all(Array.from({ length: parallelPushes(size, availableParallelism(), session.level) }, worker));
    const oldest = todo.flatMap(({ name }) => failures.filter((failure) => failure.name === name))[0];
    if (oldest === undefined) return moved;
    this.#failed = oldest.name;
    throw toFailure(oldest.error);
  }

  /** Waits for the destination, and says meanwhile that nothing is stuck: what has its bound is not. */
  async #bounded<T>(what: string, work: Promise<T>): Promise<T> {
    const beat = setInterval(this.#archiver.alive, beatMs);
    try {
      return await this.#requests.bounded(what, work);
    } finally {
      clearInterval(beat);
    }
  }
}
