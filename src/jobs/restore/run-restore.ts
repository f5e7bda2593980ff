import type { Backup } from '../../core/backup.ts';
import { Failure, toFailure } from '../../core/failure.ts';
import { jobBegins, jobFailed, jobId, jobSucceeded } from '../../core/journal-record.ts';
import { formatLsn } from '../../core/lsn.ts';
import type { KeptPlan } from '../../core/restore-plan.ts';
import { randomName } from '../../system/files.ts';
import { appendJournal } from '../../system/journal.ts';
import { beginRestore } from './begin-restore.ts';
import { claimInPlan } from './claim-in-plan.ts';
import { fillDirectories } from './fill-directories.ts';
import { finishRestore } from './finish-restore.ts';
import { keepIdentities } from './kept-identities.ts';
import { moveAside } from './move-aside.ts';
import { recover } from './recover.ts';
import type { RestoreContext, RestoreRun } from './restore-context.ts';
import { withRestoreLease } from './restore-lease.ts';
import {
  hasReached,
  readRestore,
  readRestoreState,
  writeRestoreState,
  type RestoreStage,
  type RestoreState,
} from './restore-state.ts';
import type { UnitFolder } from '../../system/home.ts';
import { stopAndFence } from './stop-and-fence.ts';
import { takeRestoreLock } from './restore-lock.ts';

/** What a restore came to. */
export interface Restored {
  readonly planId: string;
  /** The incarnation that the cluster owns now; null: it is a copy, and is not archived. */
  readonly incarnation: number | null;
  readonly reached: NonNullable<RestoreState['reached']>;
  /** What was here before still lies beside it: `remove-old` removes it, `abandon-restore` puts it back. */
  readonly oldKept: boolean;
  /** What a person must be told, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * Runs a confirmed plan, or goes on with it where an earlier run ended. At any instant the directories hold what was there,
 * or the result, or something that no server can be started on by accident.
 *
 * Fails with `busy` while another process restores, `refused` while another plan is under way, and with what stopped it: then
 * it can be gone on with or abandoned.
 */
export async function runRestore(context: RestoreContext, kept: KeptPlan, backup: Backup): Promise<Restored> {
  const lock = await takeRestoreLock(context);
  try {
    const startedAt = context.clock.now();
    const id = jobId('restore', startedAt, randomName(3));
    const begun = jobBegins({ id, kind: 'restore', trigger: 'person', startedAt });
    const about = { plan: kept.id, backup: backup.id };
    await appendJournal(context.unit, { ...begun, about });
    try {
      const restored = await withRestoreLease(context, kept.id, kept.plan, backup, async () => {
        return await runStages({ context, kept, backup, state: await beginRestore(context, kept) });
      });
      const seconds = (context.clock.now().getTime() - startedAt.getTime()) / 1000;
      const reached = { ...about, switchLsn: formatLsn(restored.reached.switchLsn) };
      await appendJournal(
        context.unit,
        jobSucceeded(begun, context.clock.now(), { numbers: { seconds }, about: reached }),
      );
      return restored;
    } catch (error) {
      await appendJournal(context.unit, { ...jobFailed(begun, context.clock.now(), error), about });
      throw error;
    }
  } finally {
    await lock.release();
  }
}

/** What the last restore on this unit came to, where it was of this plan and is done: nothing of it is left to do. */
export async function doneBefore(unit: UnitFolder, planId: string): Promise<Restored | undefined> {
  const state = await readRestoreState(unit);
  if (state?.stage !== 'done' || state.planId !== planId) return undefined;
  return result({ kept: (await readRestore(unit)).kept, state });
}

/** A stage may give back what the state gains by it. */
type Stage = (run: RestoreRun) => Promise<Partial<Pick<RestoreState, 'reached' | 'notes' | 'oldKept'>>>;

const row: readonly (readonly [stage: RestoreStage, work: Stage])[] = [
  ['begin', async () => ({})],
  ['fence', async (run) => ({ notes: [...run.state.notes, ...(await stopAndFence(run))] })],
  ['claim', nothingNew(claimInPlan)],
  ['aside', async (run) => ({ oldKept: await moveAside(run) })],
  ['unpack', nothingNew(fillDirectories)],
  ['recover', async (run) => ({ reached: await recover(run) })],
  ['finish', async (run) => ({ notes: [...run.state.notes, ...(await finishRestore(run))] })],
];

function nothingNew(work: (run: RestoreRun) => Promise<void>): Stage {
  return async (run) => {
    await work(run);
    return {};
  };
}

async function runStages(begun: RestoreRun): Promise<Restored> {
  let run = begun;
  if (hasReached(run.state.stage, 'abandon-clear')) throw leaving();
  await keepIdentities(run.context);
  for (const [index, [stage, work]] of row.entries()) {
    if (hasReached(run.state.stage, stage) && run.state.stage !== stage) continue;
    if (run.context.signal?.aborted === true) throw new Failure('machine', 'the restore was stopped');
    const gained = await work(run).catch((error: unknown) => {
      throw withWayOut(error, stage);
    });
    const next = row[index + 1]?.[0] ?? 'done';
    const endedAt = next === 'done' ? run.context.clock.now() : null;
    const state = await writeRestoreState(run.context.unit, { ...run.state, ...gained, stage: next, endedAt });
    run = { ...run, state };
  }
  return result(run);
}

function leaving(): Failure {
  return new Failure('refused', 'this restore is being abandoned', {
    hint: 'Let it end: landscape-backup abandon-restore.',
  });
}

/** Whoever reads the failure of a stage must know that the cluster is stopped, and both ways on. */
function withWayOut(error: unknown, stage: RestoreStage): Failure {
  const failure = toFailure(error);
  if (stage === 'begin' || failure.kind === 'internal') return failure;
  const wayOut =
    'The restore waits: landscape-backup restore --continue goes on, landscape-backup abandon-restore goes back.';
  const hint = failure.hint === undefined ? wayOut : `${failure.hint} ${wayOut}`;
  return new Failure(failure.kind, failure.message, { hint, cause: failure });
}

function result({ kept: { id, plan }, state }: Pick<RestoreRun, 'kept' | 'state'>): Restored {
  if (state.reached === null) throw new Failure('internal', `the restore ${id} ended without having reached anything`);
  const { prepared } = state.reached;
  const open =
    prepared === 0
      ? []
      : [
          `${prepared} prepared transactions are open and hold locks: look at pg_prepared_xacts, then commit or roll back each.`,
        ];
  return {
    planId: id,
    incarnation: plan.claims,
    reached: state.reached,
    oldKept: state.oldKept,
    notes: [...state.notes, ...open],
  };
}
