import type { JournalRecord } from './journal-record.ts';
import type { NeededBackup } from './needed-backup.ts';
import { lastScheduled } from './schedule.ts';
import type { Schedule } from './settings.ts';

/** What decides about what is due. */
export interface DueFacts {
  readonly now: Date;
  /** The host's time zone, in which a schedule without its own is meant. */
  readonly hostZone: string;
  /** Only the owner of an incarnation has anything to do. */
  readonly isOwner: boolean;
  readonly schedule: Schedule | undefined;
  readonly walArchiving: boolean;
  /** When the newest good backup began; `undefined` when there is none. */
  readonly newestBackupAt: Date | undefined;
  /** Facts that no complete backup has answered. */
  readonly needed: readonly NeededBackup[];
  /** The unit's journal, oldest first. */
  readonly journal: readonly JournalRecord[];
  /** When the last witness was sampled, stored or not. */
  readonly witnessSampledAt: Date | undefined;
  /** A sample waits for its WAL to arrive. */
  readonly isWitnessPending: boolean;
}

/** A job that is due, and why. */
export type DueJob =
  | { readonly do: 'backup'; readonly trigger: JournalRecord['trigger']; readonly why: string }
  | { readonly do: 'prune'; readonly why: string }
  | { readonly do: 'witness' };

/** At most how often a witness is sampled. */
export const witnessEveryMs = 5 * 60 * 1000;

const firstRetryMs = 5 * 60 * 1000;
const longestRetryMs = 6 * 60 * 60 * 1000;
/** How late a scheduled backup may begin and still be told as on time: the timer calls every minute. */
const punctualMs = 5 * 60 * 1000;

/**
 * What is due at this moment, in the order in which it is to be done.
 *
 * A backup is due when something needs one (a hole, a foreign archiver, a take-over), or when none began since the schedule
 * last wanted one: a missed time is made up for once. What failed is tried again after 5 minutes, then 10, 20, … up to 6
 * hours. A prune follows each backup that succeeded; one that was refused waits for the next backup or for a person.
 */
export function dueJobs(facts: DueFacts): readonly DueJob[] {
  if (!facts.isOwner) return [];
  return [...dueBackup(facts), ...duePrune(facts), ...dueWitness(facts)];
}

function dueBackup(facts: DueFacts): readonly DueJob[] {
  const wanted = wantedBackup(facts);
  if (wanted === undefined) return [];
  const failed = failuresInARow(facts.journal.filter(({ kind }) => kind === 'backup'));
  const last = failed.at(-1);
  if (last === undefined) return [wanted];
  if (!isRetryDue(last, failed.length, facts.now)) return [];
  return [{ ...wanted, trigger: 'retry', why: `${wanted.why}; ${failed.length} tries have failed` }];
}

function wantedBackup(facts: DueFacts): Extract<DueJob, { do: 'backup' }> | undefined {
  const [need] = facts.needed;
  if (need !== undefined) return { do: 'backup', trigger: need.reason, why: need.why };
  if (facts.schedule === undefined) return undefined;
  const wantedAt = lastScheduled(facts.schedule, facts.now, facts.hostZone);
  if (wantedAt === undefined) return undefined;
  if (facts.newestBackupAt !== undefined && facts.newestBackupAt >= wantedAt) return undefined;
  const isPunctual = facts.now.getTime() - wantedAt.getTime() < punctualMs;
  return isPunctual
    ? { do: 'backup', trigger: 'schedule', why: `scheduled for ${wantedAt.toISOString()}` }
    : {
        do: 'backup',
        trigger: 'missed',
        why: `the schedule wanted one at ${wantedAt.toISOString()} and there is none since`,
      };
}

function duePrune({ journal, now }: DueFacts): readonly DueJob[] {
  const backupPlace = journal.findLastIndex(({ kind, outcome }) => kind === 'backup' && outcome === 'succeeded');
  const backup = journal[backupPlace];
  if (backup?.endedAt === null || backup === undefined) return [];
  const { endedAt } = backup;
  const since = journal.filter(({ kind, startedAt }) => kind === 'prune' && startedAt >= endedAt);
  const last = since.at(-1);
  if (last === undefined) return [{ do: 'prune', why: `after backup ${backup.about['backup'] ?? backup.id}` }];
  if (last.outcome === 'succeeded' || last.failure?.kind === 'refused') return [];
  const failed = failuresInARow(since);
  return isRetryDue(last, failed.length, now) ? [{ do: 'prune', why: `${failed.length} tries have failed` }] : [];
}

function dueWitness({ walArchiving, witnessSampledAt, isWitnessPending, now }: DueFacts): readonly DueJob[] {
  if (!walArchiving) return [];
  const age = witnessSampledAt === undefined ? Infinity : Math.abs(now.getTime() - witnessSampledAt.getTime());
  return isWitnessPending || age >= witnessEveryMs ? [{ do: 'witness' }] : [];
}

/** The jobs that failed since the last that succeeded. One whose end nobody wrote was killed, or runs and holds its lock. */
function failuresInARow(jobs: readonly JournalRecord[]): readonly JournalRecord[] {
  return jobs.slice(jobs.findLastIndex(({ outcome }) => outcome === 'succeeded') + 1);
}

function isRetryDue(last: JournalRecord, failures: number, now: Date): boolean {
  const delay = Math.min(firstRetryMs * 2 ** (failures - 1), longestRetryMs);
  const sinceMs = now.getTime() - (last.endedAt ?? last.startedAt).getTime();
  // A record from the future was written by a clock that was wrong: it delays nothing.
  return sinceMs < 0 || sinceMs >= delay;
}
