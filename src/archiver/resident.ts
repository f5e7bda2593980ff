import type { ProcessMark } from '../core/job.ts';
import { toFailure } from '../core/failure.ts';
import type { Clock } from '../system/clock.ts';
import type { UnitFolder } from '../system/home.ts';
import { ArchiveRounds } from './archive-rounds.ts';
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
const firstPauseMs = 1000;
const longestPauseMs = 60_000;

/**
 * Pushes what PostgreSQL wants archived ahead of its calls, oldest first, until the signal; `spool.ts` says how the calls
 * learn of it. Everything works without this program, and with it killed at any instant.
 *
 * After a failure nothing is begun for a while, unless PostgreSQL got further by itself. Call it with the lock of the unit's
 * archiver held.
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
  let pauseMs = 0;
  let resumeAt = 0;
  while (!signal.aborted) {
    archiver.alive();
    let hasMore = false;
    try {
      const waiting = await rounds.look((folder) => {
        wake.look(folder);
      });
      const isPaused = performance.now() < resumeAt && !rounds.hasMoved();
      if (!isPaused) {
        hasMore = await rounds.push(waiting);
        pauseMs = 0;
        say(rounds.idle ?? 'archiving');
      }
    } catch (error) {
      rounds.giveUp();
      const { message, hint } = toFailure(error);
      say(`${message}${hint === undefined ? '' : `. ${hint}`}`);
      pauseMs = Math.min(Math.max(firstPauseMs, pauseMs * 2), longestPauseMs);
      resumeAt = performance.now() + pauseMs;
    }
    if (!hasMore) await wake.wait(pollMs);
  }
  wake.close();
  rounds.leave();
}
