import { Failure } from '../core/failure.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import { archivingFile } from '../postgres/archiving-file.ts';
import { clearDirectory, putBack } from '../postgres/directory-contents.ts';
import { fence, unfence } from '../postgres/fence.ts';
import { findServer, stopServer } from '../postgres/server-process.ts';
import { removeFile, writeAtomically } from '../system/files.ts';
import { readOwnerState, writeOwnerState } from '../system/home.ts';
import { rolesFile, takeOutOfService } from './restore/begin-restore.ts';
import { directoriesOf } from './restore/move-aside.ts';
import type { RestoreContext } from './restore/restore-context.ts';
import { hasReached, readRestore, writeRestoreState, type RestoreState } from './restore/restore-state.ts';
import { takeRestoreLock } from './restore/restore-lock.ts';

/** What an abandoned restore leaves. */
export interface Abandoned {
  readonly planId: string;
  /** The cluster runs, as it did before the restore. */
  readonly running: boolean;
}

type AbandonContext = Pick<RestoreContext, 'cluster' | 'unit' | 'clock' | 'control' | 'progress'>;

/**
 * Gives up a restore, also one that is done, and puts back what was there before it: contents, owner, settings, `start.conf`.
 * May be repeated after it was interrupted.
 *
 * Fails with `refused` when there is nothing to put back: the old contents were discarded or removed, or nothing was restored.
 */
export async function abandonRestore(context: AbandonContext): Promise<Abandoned> {
  const { unit, cluster, control, progress } = context;
  const lock = await takeRestoreLock(context);
  try {
    const { state, kept } = await readRestore(unit);
    await refuseLoss(context);
    const cleared = await enter(context, state);
    await fence(cluster);
    if ((await findServer(cluster.dataDirectory)) !== undefined) {
      progress({ phase: 'stopping the cluster' });
      if (state.stage === 'done') await control.stop(cluster);
      else await stopServer(cluster.dataDirectory);
    }
    const back = await clear(context, cleared, kept.plan);
    progress({ phase: 'putting back what was there' });
    for (const directory of directoriesOf(kept.plan)) await putBack(directory, kept.id);
    await restoreFound(context, back);
    await unfence(cluster, back.found.startConf);
    if (back.found.running) await control.start(cluster);
    await writeRestoreState(unit, { ...back, stage: 'abandoned', oldKept: false, endedAt: context.clock.now() });
    return { planId: kept.id, running: back.found.running };
  } finally {
    await lock.release();
  }
}

/** Fails with `refused` where the last restore on this unit can't be undone: nothing lies aside, or it has gone on since. */
export async function refuseLoss({ unit, cluster }: Pick<AbandonContext, 'unit' | 'cluster'>): Promise<void> {
  const {
    state,
    kept: { plan },
  } = await readRestore(unit);
  if (state.stage === 'abandoned') {
    throw new Failure('refused', `the restore of plan ${state.planId} is abandoned already`);
  }
  if (plan.discardOld && hasReached(state.stage, 'aside')) {
    throw new Failure('refused', `what ${cluster.label} held before was discarded: there is nothing to put back`, {
      hint: 'Go on: landscape-backup restore --continue. Or make another plan: landscape-backup restore.',
    });
  }
  if (state.stage !== 'done') return;
  if (!state.oldKept) {
    throw new Failure('refused', `what ${cluster.label} held before the restore is not there any more`);
  }
  const owner = (await readOwnerState(unit)) ?? null;
  const left = plan.claims ?? state.found.owner?.incarnation ?? null;
  if ((owner?.incarnation ?? null) === left) return;
  throw new Failure(
    'refused',
    `${cluster.label} has become the owner of incarnation ${owner?.incarnation ?? '?'} since`,
    {
      hint: 'Its backups and WAL are this cluster now. To go back in time, make a new plan: landscape-backup restore --in-place.',
    },
  );
}

/** Declares what comes. New contents are there from the moment that unpacking was declared, and not before. */
async function enter({ unit }: AbandonContext, state: RestoreState): Promise<RestoreState> {
  if (state.stage === 'abandon-clear' || state.stage === 'abandon-back') return state;
  const stage = hasReached(state.stage, 'unpack') ? 'abandon-clear' : 'abandon-back';
  return await writeRestoreState(unit, { ...state, stage });
}

async function clear(
  { unit, progress }: AbandonContext,
  state: RestoreState,
  plan: RestorePlan,
): Promise<RestoreState> {
  if (state.stage !== 'abandon-clear') return state;
  progress({ phase: 'removing what was restored' });
  for (const directory of directoriesOf(plan)) await clearDirectory(directory);
  return await writeRestoreState(unit, { ...state, stage: 'abandon-back' });
}

/** The claim of an incarnation stays in the repository, with nothing in it: numbers are never used twice. */
async function restoreFound(context: AbandonContext, { found }: RestoreState): Promise<void> {
  const { unit, cluster } = context;
  await takeOutOfService(context);
  await removeFile(rolesFile(unit));
  if (found.owner === null) await removeFile(unit.owner);
  else await writeOwnerState(unit, found.owner);
  if (found.archivingFile !== null) await writeAtomically(archivingFile(cluster), found.archivingFile, 0o644);
  else await removeFile(archivingFile(cluster));
}
