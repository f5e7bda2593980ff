import { setTimeout as sleep } from 'node:timers/promises';
import { forgetLastFailure, readLastFailure } from '../../archiver/last-failure.ts';
import { Failure } from '../../core/failure.ts';
import { formatLsn } from '../../core/lsn.ts';
import type { RestorePlan } from '../../core/restore-plan.ts';
import type { Connection } from '../../postgres/query.ts';
import { runRecovery, type RecoveryEnd } from '../../postgres/recovery-run.ts';
import { applyRoles, countPrepared, rolesSchema } from '../../postgres/roles.ts';
import { readWritingPlace, type WritingPlace } from '../../postgres/timeline-history.ts';
import { readJson } from '../../system/files.ts';
import { putInService, rolesFile } from './begin-restore.ts';
import { recoveryOf } from './fill-directories.ts';
import { usualPatience, type RestoreContext, type RestoreRun } from './restore-context.ts';
import { startPrefetcher } from './prefetcher.ts';
import type { RestoreState } from './restore-state.ts';

type Reached = NonNullable<RestoreState['reached']>;

/**
 * Recovers to the planned stop and proves that it was reached. A destination that goes away only delays it: PostgreSQL goes
 * down and is started again, from its restartpoint.
 *
 * Fails with PostgreSQL's own sentence for what does not pass by itself.
 */
export async function recover(run: RestoreRun): Promise<Reached> {
  const { context } = run;
  await putInService(context, run.kept);
  const prefetcher = startPrefetcher(context);
  try {
    return await recoverInService(run);
  } finally {
    await prefetcher.stop();
  }
}

async function recoverInService(run: RestoreRun): Promise<Reached> {
  const { context } = run;
  const patience = context.patience ?? usualPatience;
  let pauseMs = patience.firstPauseMs;
  let movedAt = performance.now();
  let file: string | undefined;
  for (;;) {
    await forgetLastFailure(context.unit);
    const end = await attempt(run, file);
    if (end.is === 'recovered') return end.value;
    if (end.file !== undefined && end.file !== file) {
      file = end.file;
      movedAt = performance.now();
      pauseMs = patience.firstPauseMs;
    }
    const why = await whyMayPass(context, end);
    if (performance.now() - movedAt > patience.totalMs) throw why;
    context.progress({ phase: 'waiting for the destination', note: why.message });
    await pause(pauseMs, context.signal);
    pauseMs = Math.min(pauseMs * 2, patience.longestPauseMs);
  }
}

async function attempt(run: RestoreRun, file: string | undefined): Promise<RecoveryEnd<Reached>> {
  const { context, kept } = run;
  const { progress } = context;
  const phase = 'replaying WAL';
  progress({ phase, note: file });
  return await runRecovery(
    {
      cluster: context.cluster,
      folder: context.unit.restore,
      settings: recoveryOf(run),
      signal: context.signal,
      report: (last) => {
        progress({ phase, note: last });
      },
    },
    async (connection) => {
      const place = await readWritingPlace(connection, context.cluster);
      const switchLsn = proveReached(kept.plan, place);
      return { timeline: place.timeline, switchLsn, ...(await settleRoles(context, connection)) };
    },
  );
}

/**
 * Compares where the new timeline leaves the old one with the plan; gives back that place. Being out of recovery alone proves
 * nothing: below 13 PostgreSQL promotes at the end of the WAL when it has not found its target.
 */
function proveReached(plan: RestorePlan, { timeline, history }: Omit<WritingPlace, 'lsn'>): bigint {
  const last = history.at(-1);
  const wanted = plan.switchLsn === null ? `${formatLsn(plan.after)} or later` : formatLsn(plan.switchLsn);
  const where = last === undefined ? `on timeline ${timeline}` : `timeline ${last.parent} at ${formatLsn(last.at)}`;
  const isThere =
    last !== undefined &&
    last.parent === plan.timeline &&
    (plan.switchLsn === null ? last.at >= plan.after : last.at === plan.switchLsn);
  if (isThere) return last.at;
  throw new Failure(
    'postgres',
    `recovery ended where the plan did not: ${where}, planned was timeline ${plan.timeline} at ${wanted}`,
    { hint: 'The cluster stays stopped and fenced. Go back: landscape-backup abandon-restore, then make a new plan.' },
  );
}

async function settleRoles(
  { unit }: RestoreContext,
  connection: Connection,
): Promise<Pick<Reached, 'prepared' | 'rolesCreated'>> {
  const roles = await readJson(rolesFile(unit), rolesSchema);
  const applied = roles === undefined ? undefined : await applyRoles(connection, roles);
  return { prepared: await countPrepared(connection), rolesCreated: [...(applied?.created ?? [])] };
}

/** The reason why recovery went down, when it may pass; anything else is thrown. */
async function whyMayPass(
  { unit }: RestoreContext,
  end: Extract<RecoveryEnd<never>, { is: 'down' }>,
): Promise<Failure> {
  const told = await readLastFailure(unit);
  if (told !== undefined) {
    const failure = new Failure(
      told.kind === 'unavailable' ? 'unavailable' : 'damaged',
      `${told.name} could not be fetched: ${told.message}`,
      { hint: told.hint ?? undefined },
    );
    if (told.kind === 'unavailable') return failure;
    throw failure;
  }
  const failure = new Failure('postgres', `recovery stopped: ${end.said}`, {
    hint: `${end.hint === undefined ? '' : `${end.hint} `}The whole story: ${unit.restore}/recovery.log`,
  });
  // 200 without a reason: the program itself could not run, for want of memory or of its files.
  if (/could not restore file .* from archive: .*exit code 200/.test(end.said)) return failure;
  throw failure;
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch {
    throw new Failure('machine', 'the restore was stopped');
  }
}
