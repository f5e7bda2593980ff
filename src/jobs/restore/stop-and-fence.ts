import { Failure } from '../../core/failure.ts';
import type { RestorePlan } from '../../core/restore-plan.ts';
import { removeArchivingFile } from '../../postgres/archiving-file.ts';
import { fence } from '../../postgres/fence.ts';
import { findServer } from '../../postgres/server-process.ts';
import { archiveLeftBehind, archiveWhileRunning } from './archive-reachable.ts';
import type { RestoreContext, RestoreRun } from './restore-context.ts';

/**
 * Stops the cluster and lets nobody start it again. In place everything that can be read is archived first; what could not
 * be is told. Nothing of the contents is touched.
 *
 * Fails with `refused` where the old contents would be discarded with WAL in them that is nowhere else.
 */
export async function stopAndFence({ context, kept, state }: RestoreRun): Promise<readonly string[]> {
  const { cluster, control, progress } = context;
  const { plan } = kept;
  const owner = plan.inPlace ? state.found.owner : null;
  const running = (await findServer(cluster.dataDirectory)) !== undefined;
  if (owner !== null && running) await archiveWhileRunning(context, owner);
  progress({ phase: 'stopping the cluster' });
  await fence(cluster);
  if (plan.claims === null) await removeArchivingFile(cluster);
  if (running) await control.stop(cluster);
  await refuseRunning(context);
  if (owner === null) return [];
  const lost = await archiveLeftBehind(context, owner);
  refuseLoss(plan, lost);
  return lost;
}

function refuseLoss(plan: RestorePlan, lost: readonly string[]): void {
  if (!plan.discardOld || lost.length === 0) return;
  throw new Failure('refused', `what was here can't be discarded: ${lost[0] ?? ''}`, {
    hint: 'Mend what is said there and go on with landscape-backup restore --continue; or abandon-restore, and restore without --discard-old.',
  });
}

/** Fails with `busy` while a server runs in the data directory: whoever started it, nothing is moved under it. */
export async function refuseRunning({ cluster }: Pick<RestoreContext, 'cluster'>): Promise<void> {
  const pid = await findServer(cluster.dataDirectory);
  if (pid === undefined) return;
  throw new Failure('busy', `a server (process ${pid}) runs in ${cluster.dataDirectory}`, {
    hint: 'Somebody started it by hand: stop it, then go on with landscape-backup restore --continue.',
  });
}
