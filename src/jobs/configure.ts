import { archiveCommand } from '../core/archiving-decision.ts';
import { Failure } from '../core/failure.ts';
import { standing, type Incarnation, type Standing } from '../core/incarnation.ts';
import { applyArchiving, forgetLost, type ArchivingOutcome } from '../postgres/archiving.ts';
import { isInRecovery } from '../postgres/server-facts.ts';
import { readControlData } from '../postgres/control-data.ts';
import { listIncarnations } from '../repository/incarnations.ts';
import type { Repository } from '../repository/repository.ts';
import { readOwnerState, type OwnerState } from '../system/home.ts';
import { recordNeededBackup } from '../system/needed-backups.ts';
import { underLock, type JobContext } from './job-context.ts';
import { isUnderWay, readRestoreState } from './restore/restore-state.ts';
import { isStreaming } from './stream-facts.ts';
import { reconcileStreaming } from './streaming.ts';

/** What a reconcile came to. */
export interface Configured {
  readonly standing: Standing;
  /** `undefined`: the cluster does not run, so nothing could be looked at. */
  readonly archiving: ArchivingOutcome | undefined;
  readonly restarted: boolean;
}

/** What this unit's cluster is to the repository, with what the answer rests on. */
export async function readStanding(
  context: Pick<JobContext, 'cluster' | 'unit'>,
  repository: Repository,
): Promise<{
  systemIdentifier: string;
  state: OwnerState | undefined;
  incarnations: readonly Incarnation[];
  standing: Standing;
}> {
  const { systemIdentifier } = await readControlData(context.cluster.binaries, context.cluster.dataDirectory);
  const state = await readOwnerState(context.unit);
  const own = state?.systemIdentifier === systemIdentifier ? state : undefined;
  const incarnations = await listIncarnations(repository, systemIdentifier);
  return { systemIdentifier, state, incarnations, standing: standing(own?.ownerId, own?.incarnation, incarnations) };
}

/**
 * Brings the cluster's archiving in line with the settings and the repository. Safe to call every minute and twice at once.
 *
 * A needed restart is done where `restart-postgresql` is true and announced otherwise. WAL that nobody kept makes a new base
 * backup needed. Fails with `refused` when somebody else archives, with `busy` during a restore.
 */
export async function configure(context: JobContext, repository: Repository): Promise<Configured> {
  const what = `the configuration of ${context.cluster.label}`;
  return await underLock(context.unit, 'archiving', what, async () => await reconcile(context, repository));
}

/** Fails with `busy` while a restore owns the cluster's files; at its last stage the restore itself wants them configured. */
export async function refuseDuringRestore({ unit, cluster }: Pick<JobContext, 'unit' | 'cluster'>): Promise<void> {
  const state = await readRestoreState(unit);
  if (state === undefined || !isUnderWay(state) || state.stage === 'finish') return;
  throw new Failure('busy', `a restore of ${cluster.label} is under way (plan ${state.planId}, ${state.stage})`, {
    hint: `Wait for it; if it died: landscape-backup restore --confirm=${state.planId} goes on, landscape-backup abandon-restore puts the old contents back.`,
  });
}

async function reconcile(context: JobContext, repository: Repository): Promise<Configured> {
  await refuseDuringRestore(context);
  const found = await readStanding(context, repository);
  if (!context.cluster.running) return { standing: found.standing, archiving: undefined, restarted: false };
  let archiving = await apply(context, found.standing);
  let restarted = false;
  if (archiving.is === 'restart-needed' && context.settings.restartPostgresql) {
    await context.control.stop(context.cluster);
    await context.control.start(context.cluster);
    restarted = true;
    archiving = await apply(context, found.standing);
    if (archiving.is === 'restart-needed') {
      throw new Failure(
        'postgres',
        `${archiving.waiting.join(' and ')} of ${context.cluster.label} did not take effect with a restart`,
        {
          hint: `Look at the log of the server: ${context.cluster.logFile}`,
        },
      );
    }
  }
  await recordLost(context, found.standing, archiving);
  await reconcileStreaming(context, repository, found.standing, archiving.is === 'on');
  return { standing: found.standing, archiving, restarted };
}

async function apply({ cluster, unit, settings, runtime, clock }: JobContext, is: Standing): Promise<ArchivingOutcome> {
  const command = archiveCommand(runtime, unit.path);
  const wish = {
    walArchiving: settings.walArchiving,
    walMethod: settings.walMethod,
    standing: is.is,
    command,
    timeoutSeconds: settings.archiveTimeoutSeconds,
  };
  return await applyArchiving(cluster, unit, wish, clock.now());
}

async function recordLost(context: JobContext, is: Standing, { lostBefore }: ArchivingOutcome): Promise<void> {
  const { unit, clock, cluster } = context;
  if (lostBefore === undefined || is.is !== 'owner') return;
  // What a standby did not archive, its primary did; and what was streamed up to now is not missing.
  if ((await isInRecovery(cluster)) || (await isStreaming(context))) return await forgetLost(unit);
  await recordNeededBackup(unit, {
    format: 1,
    reason: 'foreign-archiver',
    since: clock.now(),
    why: lostBefore.why,
    incarnation: is.incarnation.number,
    after: lostBefore.at,
  });
  await forgetLost(unit);
}
