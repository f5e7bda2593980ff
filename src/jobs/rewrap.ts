import { fingerprintOf } from '../core/age-key.ts';
import type { Backup } from '../core/backup.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { jobBegins, jobFailed, jobId, jobSucceeded } from '../core/journal-record.ts';
import { isHeld } from '../core/lease.ts';
import { rewrapSchema } from '../core/record.ts';
import { readBackups } from '../repository/catalogue.ts';
import { byFolder, type Stored } from '../repository/generations.ts';
import { layout, type Place } from '../repository/layout.ts';
import { listLeases } from '../repository/leases.ts';
import { appendRecord } from '../repository/records.ts';
import type { Repository } from '../repository/repository.ts';
import { readReplaced, rewrapped } from '../repository/rewraps.ts';
import { renewBackup, spentParts } from '../repository/rewrap-backup.ts';
import { judge, renew, type Rewrapping } from '../repository/rewrap.ts';
import { sweepsReadme } from '../repository/readme-text.ts';
import { putUnlessThere } from '../repository/small-object.ts';
import { AtOnce } from '../system/at-once.ts';
import type { Clock } from '../system/clock.ts';
import { randomName } from '../system/files.ts';
import type { UnitFolder } from '../system/home.ts';
import { appendJournal } from '../system/journal.ts';
import type { Settings } from '../core/settings.ts';
import { takeLockSoon } from './job-context.ts';
import { makeMeter, type ReportProgress } from './job-progress.ts';
import { withRewrapLease } from './rewrap-lease.ts';
import { makeRewrapPlan, rewrapping, sealedFolders, type RewrapPlan, type RewrapScope } from './rewrap-plan.ts';
import { atUploadLimit } from './upload-limit.ts';

/** What a re-encryption works with. The identity is in the keys of the repository, for this run. */
export interface RewrapContext {
  readonly unit: UnitFolder;
  readonly repository: Repository;
  readonly settings: Pick<Settings, 'uploadBytesPerSecond'>;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  readonly progress: ReportProgress;
}

/** What a run did. `left` are old objects of backups that a job is reading: the next run removes them. */
export interface Rewrapped {
  readonly renewed: number;
  readonly storedBytes: number;
  readonly swept: number;
  readonly left: number;
}

/** What became of a request: it ran, or the plan is another one now and nothing was touched. */
export type RewrapOutcome =
  | { readonly is: 'rewrapped'; readonly plan: RewrapPlan; readonly rewrapped: Rewrapped }
  | { readonly is: 'changed'; readonly plan: RewrapPlan };

/** So many keys wait to be swept: memory is theirs, and each sweep makes a record. */
const sweepAfter = 20_000;
const atOnce = 3;

/** Plans; nothing is written. */
export async function planRewrap(context: RewrapContext, scope: RewrapScope): Promise<RewrapPlan> {
  const looked = makeMeter('looking at what is stored', 0, () => performance.now(), context.progress);
  return await makeRewrapPlan(rewrapping(context.repository), scope, looked);
}

/**
 * Encrypts what is for others to the recipients of the settings, and removes what was. Every object is whole under its old name
 * or its new one at any moment; killed anywhere, the same run again goes on. What is damaged stays as it is and is named at the
 * end, when all else is done.
 */
export async function runRewrap(context: RewrapContext, scope: RewrapScope, confirm: string): Promise<RewrapOutcome> {
  const { unit, clock } = context;
  const lock = await takeLockSoon(unit, 'rewrap', 'a re-encryption of what is stored');
  try {
    const plan = await planRewrap(context, scope);
    if (plan.id !== confirm) return { is: 'changed', plan };
    const startedAt = clock.now();
    const about = { plan: plan.id };
    const id = jobId('rewrap', startedAt, randomName(3));
    const begun = { ...jobBegins({ id, kind: 'rewrap', trigger: 'person', startedAt }), about };
    await appendJournal(unit, begun);
    try {
      const done = await withRewrapLease(context, scope, async () => await new Run(context, scope, plan).all());
      await appendJournal(unit, jobSucceeded(begun, clock.now(), { numbers: { ...done }, about }));
      return { is: 'rewrapped', plan, rewrapped: done };
    } catch (error) {
      await appendJournal(unit, jobFailed(begun, clock.now(), error));
      throw error;
    }
  } finally {
    await lock.release();
  }
}

class Run {
  readonly #context: RewrapContext;
  readonly #scope: RewrapScope;
  readonly #work: Rewrapping;
  readonly #stored: (bytes: number) => void;
  readonly #faults: Failure[] = [];
  #spent: string[] = [];
  #renewed = 0;
  #storedBytes = 0;
  #swept = 0;
  #left = 0;

  constructor(context: RewrapContext, scope: RewrapScope, { backups, wal, fileSets }: RewrapPlan) {
    this.#context = context;
    this.#scope = scope;
    this.#work = rewrapping(atUploadLimit(context.repository, context.settings));
    const bytes = backups.bytes + wal.bytes + fileSets.bytes;
    this.#stored = makeMeter('encrypting anew', bytes, () => performance.now(), context.progress);
  }

  async all(): Promise<Rewrapped> {
    for (const place of this.#scope.places) await this.#backups(place);
    for (const { prefix, place } of sealedFolders(this.#scope)) await this.#sealed(prefix, place);
    const [first] = this.#faults;
    if (first !== undefined) throw this.#faulty(first);
    return { renewed: this.#renewed, storedBytes: this.#storedBytes, swept: this.#swept, left: this.#left };
  }

  #faulty(first: Failure): Failure {
    const more = this.#faults.length === 1 ? '' : `, and ${this.#faults.length - 1} more objects`;
    return new Failure('damaged', `${first.message}${more}; all else is encrypted anew`, {
      hint: 'What is named stayed as it is. Look for disk errors at the destination, then run the same again.',
      cause: first,
    });
  }

  async #backups(place: Place): Promise<void> {
    const { repository } = this.#work;
    for (const backup of (await readBackups(repository, place)).backups) {
      this.#failIfStopped();
      await this.#scope.prove(place);
      await this.#tolerant(async () => {
        await this.#backup(place, backup);
      });
    }
  }

  async #backup(place: Place, backup: Backup): Promise<void> {
    const { repository } = this.#work;
    const folder = layout.backup(place, backup.id);
    const storedBytes = await renewBackup(this.#work, folder, backup, this.#context.clock.now());
    if (storedBytes > 0) this.#count(storedBytes);
    // By what it consists of now, as whoever reads it finds it.
    const now = rewrapped(backup, await readReplaced(repository, folder));
    const spent = await spentParts(repository, folder, now);
    if (spent.length === 0) return;
    if (await this.#isRead(place, backup.id)) this.#left += spent.length;
    else await this.#sweep(place, spent);
  }

  /** A restore reads the first part of an archive for long, and can't go on with another one in the middle of it. */
  async #isRead(place: Place, id: string): Promise<boolean> {
    for (const { incarnation } of this.#scope.places) {
      for (const held of await listLeases(this.#work.repository, { ...place, incarnation })) {
        if (isHeld(held, this.#context.clock.now()) && (held.lease?.backups.includes(id) ?? true)) return true;
      }
    }
    return false;
  }

  async #sealed(prefix: string, place: Place | undefined): Promise<void> {
    for await (const folder of byFolder(this.#work.repository.storage.list(prefix))) {
      if (place !== undefined) await this.#scope.prove(place);
      const several = new AtOnce(atOnce);
      for (const stored of folder) {
        this.#failIfStopped();
        await several.begin(async () => await this.#tolerant(async () => await this.#object(stored)));
      }
      await several.end();
      if (this.#spent.length >= sweepAfter) await this.#sweepSpent(place);
    }
    await this.#sweepSpent(place);
  }

  async #object(stored: Stored): Promise<void> {
    if ((await judge(this.#work, stored)) === 'done') return;
    const { storedBytes, spent, strange } = await renew(this.#work, stored);
    if (storedBytes > 0) this.#count(storedBytes);
    this.#spent.push(...spent);
    for (const key of strange) {
      this.#faults.push(new Failure('damaged', `${key} does not hold what ${stored.first} does, or can't be read`));
    }
  }

  #count(bytes: number): void {
    this.#renewed += 1;
    this.#storedBytes += bytes;
    this.#stored(this.#storedBytes);
  }

  async #sweepSpent(place: Place | undefined): Promise<void> {
    const spent = this.#spent;
    this.#spent = [];
    await this.#sweep(place, spent);
  }

  /** Removes what was replaced. That it begins is said before: who lists meanwhile lists again. */
  async #sweep(place: Place | undefined, keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const { repository, recipients } = this.#work;
    if (place !== undefined) {
      await this.#scope.prove(place);
      await putUnlessThere(repository.storage, `${layout.sweeps(place)}README.txt`, sweepsReadme);
      const at = this.#context.clock.now();
      const told = recipients.map((each) => fingerprintOf(each));
      await appendRecord(repository, layout.sweeps(place), rewrapSchema, {
        format: 1,
        at,
        recipients: told,
        parts: [],
      });
    }
    for (const key of keys) {
      this.#failIfStopped();
      await repository.storage.remove(key);
      this.#swept += 1;
    }
  }

  /** What is damaged is for the end, what was pruned meanwhile is nothing to do. */
  async #tolerant(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (isFailure(error, 'missing')) return;
      if (!isFailure(error, 'damaged')) throw error;
      this.#faults.push(error);
    }
  }

  #failIfStopped(): void {
    if (this.#context.signal?.aborted !== true) return;
    throw new Failure('machine', 'the re-encryption was stopped', {
      hint: 'The same run again goes on where it ended.',
    });
  }
}
