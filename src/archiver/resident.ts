import type { ProcessMark } from '../core/job.ts';
import { canPass, toFailure } from '../core/failure.ts';
import type { Clock } from '../system/clock.ts';
import type { UnitFolder } from '../system/home.ts';
import { ArchiveRounds } from './archive-rounds.ts';
import { Backoff } from './backoff.ts';
import { makeWake } from './wake.ts';
import type { WalSteps } from './wal-steps.ts';

/** What a resident archiver works for. */
export interface ResidentArchiver {
  readonly unit: UnitFolder;
  /** Where the cluster's data lies now. */
  readonly dataDirectory: () => Promise<string>;
  readonly mark: ProcessMark;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly step: WalSteps;
  /** Called whenever it has got somewhere; a long time without it means that it hangs. */
  readonly alive: () => void;
  /** Gets one sentence whenever what it does becomes something else. */
  readonly say: (sentence: string) => void;
}

/** The net below inotify, and how often it is looked whether the unit has become an owner. */
const pollMs = 2000;

/**
 * Pushes what PostgreSQL wants archived ahead of its calls, oldest first, until the signal; `spool.ts` says how the calls
 * learn of it. Everything works without this program, and with it killed at any instant.
 *
 * After a failure that can pass nothing is begun for a while, after any other not at all, until something is not as it was:
 * PostgreSQL, which goes on asking, got further by itself, or an operator has written other settings. Call it with the lock of
 * the unit's archiver held.
 */
export async function runResident(archiver: ResidentArchiver): Promise<void> {
  const { signal } = archiver;
  const wake = makeWake(signal);
  const rounds = new ArchiveRounds(archiver);
  let said: string | undefined;
  const say = (sentence: string) => {
    if (sentence !== said) archiver.say(sentence);
    said = sentence;
  };
  const backoff = new Backoff();
  let isStuck = false;
  const goes = () => {
    backoff.succeeded();
    isStuck = false;
    say(rounds.idle ?? 'archiving');
  };
  while (!signal.aborted) {
    archiver.alive();
    let hasMore = false;
    try {
      const waiting = await rounds.look((folder) => {
        wake.look(folder);
      });
      const isPaused = (isStuck || !backoff.isOver) && !rounds.hasMoved();
      if (!isPaused) {
        hasMore = await rounds.push(waiting, goes);
        goes();
      }
    } catch (error) {
      const failure = toFailure(error);
      say(`${failure.message}${failure.hint === undefined ? '' : `. ${failure.hint}`}`);
      await rounds.giveUp(failure);
      isStuck = !canPass(failure);
      backoff.failed();
    }
    if (!hasMore) await wake.wait(pollMs);
  }
  wake.close();
  rounds.leave();
}
