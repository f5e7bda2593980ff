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
import { batchOf, type Batch } from './push-batch.ts';
import { pushQueue, type Waiting } from './push-queue.ts';
import { parallelPushes, pushWal, walPath, type PushSession } from './push-wal.ts';
import type { ResidentArchiver } from './resident.ts';
import { closeSpool, openSpool, type ArchiveSpool } from './spool.ts';
import { readWaiting, statusFolder } from './waiting-wal.ts';

const noteLimitMs = 5000;
const beatMs = 1000;
const nothing: Waiting = { names: [], atOnce: 0 };

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
    return await this.#readWaiting(spool, this.#dataDirectory);
  }

  async #readWaiting(spool: ArchiveSpool, dataDirectory: string): Promise<readonly WalName[]> {
    const waiting = await readWaiting(dataDirectory);
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

  /**
   * Pushes what waits and what comes to wait meanwhile, oldest first; says whether there is more. Fails with that of the oldest
   * file, when all others have ended. `goes` is called whenever some of it is stored and more is begun.
   */
  async push(waiting: readonly WalName[], goes: () => void = () => undefined): Promise<boolean> {
    const spool = this.#spool;
    const dataDirectory = this.#dataDirectory;
    if (spool === undefined || dataDirectory === undefined) return false;
    const batch = batchOf(spool, dataDirectory, waiting);
    if (batch.names.length === 0 && !this.#isFailing) return false;
    this.#failed = batch.names[0]?.name;
    this.#requests.refuse();
    const session = await this.#bounded(whatFor(batch), this.#openSession(spool, dataDirectory, false));
    if (session === undefined) {
      this.#setFailing(true);
      return false;
    }
    return await this.#pushAll(session, batch, goes);
  }

  async #noteSuccess(): Promise<void> {
    this.#setFailing(false);
    await noteArchiveSuccess(this.#archiver.unit, this.#archiver.clock.now());
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

  /** With something under way what is open stays open: where the settings want another one there is no session now. */
  async #openSession(
    spool: ArchiveSpool,
    dataDirectory: string,
    isUnderWay: boolean,
  ): Promise<PushSession | undefined> {
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
    const at = { destination, access, second, privateFolder: unit.path };
    if (isUnderWay && !this.#storage.isOpen(at)) return undefined;
    const storage = await this.#storage.storage(at);
    const repository = await openExpected(storage, pin.repositoryId, encryption);
    await checkOwnership(repository, owner);
    step('repository proven');
    return { unit, repository, owner, spool, dataDirectory, level: compressionLevel, step };
  }

  async #pushAll(begun: PushSession, first: Batch, goes: () => void): Promise<boolean> {
    let session = begun;
    let batch = first;
    const waitingOf = ({ names }: Batch): Waiting => ({ names, atOnce: atOnceOf(session, names) });
    const { stored, failure } = await pushQueue({
      first: waitingOf(first),
      push: async (name) => await this.#bounded(archivingText(name.name), pushWal(session, name)),
      more: async (underWay, storedSoFar) => {
        const next = await this.#next(session, underWay);
        if (next === undefined) return nothing;
        ({ session, batch } = next);
        if (storedSoFar > 0 && batch.names.length > 0) {
          await this.#noteSuccess();
          goes();
        }
        return waitingOf(batch);
      },
      signal: this.#archiver.signal,
    });
    if (failure !== undefined) {
      this.#failed = failure.name ?? this.#failed;
      throw toFailure(failure.error);
    }
    this.#failed = undefined;
    if (stored > 0 || (first.names.length === 0 && first.isAll)) await this.#noteSuccess();
    else this.#setFailing(false);
    return stored > 0 && !batch.isAll;
  }

  /**
   * What comes next, and the session for it. `undefined` where all that is under way has to end first: this unit is somebody
   * else now, or its settings want another destination.
   */
  async #next(
    session: PushSession,
    underWay: ReadonlySet<string>,
  ): Promise<{ readonly session: PushSession; readonly batch: Batch } | undefined> {
    const { spool, dataDirectory } = session;
    if (!spool.isInForce()) return undefined;
    const batch = batchOf(spool, dataDirectory, await this.#readWaiting(spool, dataDirectory), underWay);
    const [oldest] = batch.names;
    if (oldest === undefined) return { session, batch };
    this.#failed = oldest.name;
    const renewed = await this.#bounded(whatFor(batch), this.#openSession(spool, dataDirectory, true));
    return renewed === undefined ? undefined : { session: renewed, batch };
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

function whatFor({ names: [first] }: Batch): string {
  return first === undefined ? 'opening the repository' : archivingText(first.name);
}

function atOnceOf({ dataDirectory, level }: PushSession, names: readonly WalName[]): number {
  const size = Number(stateOf(walPath(dataDirectory, names.at(-1)?.name ?? ''))?.sizeBytes ?? 0n);
  return parallelPushes(size, availableParallelism(), level);
}
