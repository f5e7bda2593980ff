import type { Backup } from '../../core/backup.ts';
import type { KeptPlan } from '../../core/restore-plan.ts';
import type { Repository } from '../../repository/repository.ts';
import type { JobContext } from '../job-context.ts';
import type { ReportProgress } from '../job-progress.ts';
import type { RestoreState } from './restore-state.ts';

/** How long a restore waits for what may pass. */
export interface RestorePatience {
  /** How long `restore-wal` tries again before PostgreSQL goes down. */
  readonly callSeconds: number;
  /** Between two starts of the server after that: it doubles from the first to the longest. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** Without any progress for so long the restore fails; it can be continued. */
  readonly totalMs: number;
  /** How long WAL of the running cluster may need to arrive before it is stopped (in place). */
  readonly archiveMs: number;
}

/** What is waited for in earnest: a destination may be away for a night. */
export const usualPatience: RestorePatience = {
  callSeconds: 60,
  firstPauseMs: 1000,
  longestPauseMs: 60_000,
  totalMs: 24 * 3_600_000,
  archiveMs: 10 * 60_000,
};

/** What a restore works with. The process runs as the cluster's owner. */
export interface RestoreContext extends JobContext {
  readonly repository: Repository;
  readonly signal?: AbortSignal | undefined;
  readonly progress: ReportProgress;
  readonly patience?: RestorePatience | undefined;
}

/** A restore under way: its plan, what it is made from, and how far it is. */
export interface RestoreRun {
  readonly context: RestoreContext;
  readonly kept: KeptPlan;
  readonly backup: Backup;
  readonly state: RestoreState;
}
