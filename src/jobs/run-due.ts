import { dueJobs, type DueFacts, type DueJob } from '../core/due.ts';
import { isFailure, toFailure, type Failure } from '../core/failure.ts';
import { stillNeeded } from '../core/needed-backup.ts';
import { isOfSecond, type JournalRecord } from '../core/journal-record.ts';
import type { Settings } from '../core/settings.ts';
import { readBackups, readMarks } from '../repository/catalogue.ts';
import { listIncarnations } from '../repository/incarnations.ts';
import type { Repository } from '../repository/repository.ts';
import type { Clock } from '../system/clock.ts';
import { readOwnerState, type UnitFolder } from '../system/home.ts';
import { readJournal } from '../system/journal.ts';
import { takeLock } from '../system/lock.ts';
import { dropNeededBackup, readNeededBackups } from '../system/needed-backups.ts';
import { readWitnessState } from './witness.ts';

/** What decides about what is due on a unit. */
export interface RunDueContext {
  readonly unit: UnitFolder;
  readonly repository: Repository;
  readonly settings: Pick<Settings, 'backupSchedule' | 'walArchiving'>;
  readonly hostZone: string;
  readonly clock: Clock;
  /** The cluster follows another one under the same owner: that one has everything to do. */
  readonly isStandby: boolean;
}

/** The jobs themselves; each has its own lock and its own guards. */
export interface DueParts {
  /** Brings archiving in line with the settings. */
  readonly reconcile: () => Promise<unknown>;
  readonly backup: (trigger: JournalRecord['trigger']) => Promise<unknown>;
  readonly prune: () => Promise<unknown>;
  readonly witness: () => Promise<unknown>;
}

/** One thing that was done, or tried. */
export interface Done {
  readonly did: 'reconcile' | DueJob['do'];
  readonly why: string | undefined;
  /** `undefined`: it succeeded. A `busy` one is done by somebody else at this moment. */
  readonly failure: Failure | undefined;
}

/** What a call came to; `busy` means that another call is at it, which is as good. */
export type RanDue = { readonly is: 'busy' } | { readonly is: 'ran'; readonly done: readonly Done[] };

/**
 * Does what is due. Safe to call every minute and any number of times at once: one works, the others say `busy`.
 *
 * A job that fails keeps no other from its turn; what it left is in the journal, from which the next call decides. What is due
 * is asked again after each job, so a prune follows its backup at once.
 */
export async function runDue(context: RunDueContext, parts: DueParts): Promise<RanDue> {
  let lock;
  try {
    lock = await takeLock(context.unit.lock('run-due'), 'run-due');
  } catch (error) {
    if (isFailure(error, 'busy')) return { is: 'busy' };
    throw error;
  }
  try {
    const done: Done[] = [await attempt('reconcile', undefined, parts.reconcile)];
    for (;;) {
      const [job] = dueJobs(await readFacts(context)).filter((due) => !done.some(({ did }) => did === due.do));
      if (job === undefined) return { is: 'ran', done };
      const run = async (): Promise<unknown> =>
        job.do === 'backup' ? await parts.backup(job.trigger) : await parts[job.do]();
      done.push(await attempt(job.do, job.do === 'witness' ? undefined : job.why, run));
    }
  } finally {
    await lock.release();
  }
}

async function attempt(did: Done['did'], why: string | undefined, work: () => Promise<unknown>): Promise<Done> {
  try {
    await work();
    return { did, why, failure: undefined };
  } catch (error) {
    return { did, why, failure: toFailure(error) };
  }
}

/** Reads what decides; facts that a complete backup has answered are forgotten on the way. */
async function readFacts(context: RunDueContext): Promise<DueFacts> {
  const { unit, repository, settings, hostZone, clock, isStandby } = context;
  const owner = await readOwnerState(unit);
  const own =
    owner === undefined
      ? []
      : (await listIncarnations(repository, owner.systemIdentifier)).filter(
          (each) => each.owner.ownerId === owner.ownerId,
        );
  const isOwner = !isStandby && own.some(({ number }) => number === owner?.incarnation);
  const good = isOwner && owner !== undefined ? await goodBackups(context, owner) : [];
  const known = await readNeededBackups(unit);
  const needed = stillNeeded(known, good);
  for (const answered of known.filter((each) => !needed.includes(each))) await dropNeededBackup(unit, answered);
  const sample = await readWitnessState(unit);
  return {
    now: clock.now(),
    hostZone,
    isOwner,
    schedule: settings.backupSchedule,
    walArchiving: settings.walArchiving,
    newestBackupAt: good
      .map(({ startedAt }) => startedAt)
      .sort((a, b) => a.getTime() - b.getTime())
      .at(-1),
    needed,
    // A prune of the second destination follows that of the first, and is no answer to whether that is due.
    journal: (await readJournal(unit)).filter((record) => !isOfSecond(record)),
    witnessSampledAt: sample?.sampledAt,
    isWitnessPending: (sample?.pending ?? null) !== null,
  };
}

/** The complete backups of the incarnation that nothing speaks against. One before it, in its parent, answers no need of it. */
async function goodBackups(
  { repository }: RunDueContext,
  place: { readonly systemIdentifier: string; readonly incarnation: number },
) {
  const { backups } = await readBackups(repository, place);
  const marks = await readMarks(repository, place);
  return backups.filter(({ id }) =>
    (marks.get(id) ?? []).every((mark) => mark?.mark === 'pinned' || mark?.mark === 'unpinned'),
  );
}
