import { archiveCommand } from '../core/archiving-decision.ts';
import { Failure } from '../core/failure.ts';
import type { Incarnation, Owner } from '../core/incarnation.ts';
import { jobBegins, jobFailed, jobId, jobSucceeded } from '../core/journal-record.ts';
import { findParent, type Parent } from '../core/take-over-parent.ts';
import { parseWalName } from '../core/wal-name.ts';
import { foreseeRestart } from '../postgres/archiving.ts';
import { withConnection } from '../postgres/query.ts';
import { listHistories, readWritingPlace, type WritingPlace } from '../postgres/timeline-history.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { claimIncarnation, nextIncarnation } from '../repository/incarnations.ts';
import type { Repository } from '../repository/repository.ts';
import { storeWal } from '../repository/wal-store.ts';
import { randomName, writeJson } from '../system/files.ts';
import { pinSchema, writeOwnerState } from '../system/home.ts';
import { appendJournal } from '../system/journal.ts';
import { recordNeededBackup } from '../system/needed-backups.ts';
import { configure, readStanding, refuseDuringRestore, type Configured } from './configure.ts';
import { takeLockSoon, type JobContext } from './job-context.ts';
import { readRestore, readRestoreState } from './restore/restore-state.ts';

/** What a take-over came to. */
export interface TakenOver extends Configured {
  readonly incarnation: Incarnation;
  /** False: this unit owned the incarnation already, and only what was missing was done. */
  readonly claimed: boolean;
  /** From where this cluster left its original up to here nothing is archived: the window begins with its next backup. */
  readonly gap: { readonly parent: Parent; readonly until: WritingPlace };
}

/**
 * Makes this unit the owner of a restored cluster's next incarnation, sets archiving and asks for a base backup.
 *
 * Refused before anything is claimed where a needed restart is not allowed, where somebody else archives, and for a clone
 * without a timeline of its own. May be repeated: its own claim succeeds again.
 */
export async function takeOver(
  context: JobContext,
  repository: Repository,
  options: { readonly parent?: number | undefined } = {},
): Promise<TakenOver> {
  const lock = await takeLockSoon(context.unit, 'init', `the take-over of ${context.cluster.label}`);
  const startedAt = context.clock.now();
  const begun = jobBegins({
    id: jobId('take-over', startedAt, randomName(3)),
    kind: 'take-over',
    trigger: 'person',
    startedAt,
  });
  try {
    await appendJournal(context.unit, begun);
    const taken = await claimAndArchive(context, repository, options.parent);
    const about = { incarnation: String(taken.incarnation.number) };
    await appendJournal(context.unit, jobSucceeded(begun, context.clock.now(), { about }));
    return taken;
  } catch (error) {
    await appendJournal(context.unit, jobFailed(begun, context.clock.now(), error));
    throw error;
  } finally {
    await lock.release();
  }
}

async function claimAndArchive(
  context: JobContext,
  repository: Repository,
  named: number | undefined,
): Promise<TakenOver> {
  const { incarnation, claimed, until } = await claim(context, repository, named);
  const parent = incarnation.owner.parent;
  if (parent === null) throw notNeeded(context);
  await recordNeededBackup(context.unit, {
    format: 1,
    reason: 'take-over',
    since: context.clock.now(),
    why: `incarnation ${incarnation.number} was taken over and has no backup of its own yet`,
    incarnation: incarnation.number,
    after: parent.lsn,
  });
  await storeHistories(context, repository, incarnation.number);
  const configured = await configure(context, repository);
  return { ...configured, incarnation, claimed, gap: { parent, until } };
}

interface Claim {
  readonly incarnation: Incarnation;
  readonly claimed: boolean;
  readonly until: WritingPlace;
}

async function claim(context: JobContext, repository: Repository, named: number | undefined): Promise<Claim> {
  const { cluster, unit, identity, clock } = context;
  await refuseDuringRestore(context);
  const { standing, state, systemIdentifier, incarnations } = await readStanding(context, repository);
  if (standing.is === 'none') {
    throw new Failure('refused', `the repository does not know the cluster ${cluster.label}`, {
      hint: 'There is nothing to take over: landscape-backup init claims it.',
    });
  }
  if (!cluster.running) {
    throw new Failure('refused', `the cluster ${cluster.label} does not run`, {
      hint: 'Start it, then take over: it must say on which timeline it writes.',
    });
  }
  const until = await withConnection(cluster, async (connection) => await readWritingPlace(connection, cluster));
  if (standing.is === 'owner') return { incarnation: standing.incarnation, claimed: false, until };
  await refuseUnlessRestartAllowed(context);
  repository.keys.recipients(); // Who claims is going to store, and nothing could be stored otherwise.
  const restored = named ?? (await restoredFrom(context, until));
  const catalogue = await readCatalogue(repository, systemIdentifier);
  const parent = findParent(catalogue, until.timeline, until.history, restored);
  const ownerId = state?.ownerId ?? randomName(16);
  const interrupted =
    state?.systemIdentifier === systemIdentifier && !incarnations.some(({ number }) => number === state.incarnation);
  const number = interrupted ? state.incarnation : nextIncarnation(incarnations);
  // A spare that only restored has none, and `archive-wal` writes to the pinned repository alone.
  await writeJson(unit.pin, pinSchema, { repositoryId: repository.record.id, url: repository.storage.url });
  // Durable before the claim: who dies in between finds its own claim again, and nobody else's.
  await writeOwnerState(unit, { ownerId, systemIdentifier, incarnation: number });
  const owner: Owner = { format: 1, ownerId, ...identity, since: clock.now(), parent };
  return { incarnation: await claimIncarnation(repository, systemIdentifier, number, owner), claimed: true, until };
}

/** The incarnation that this unit's last restore brought back, if it is this cluster's newest timeline that it made. */
async function restoredFrom({ unit }: JobContext, { timeline, history }: WritingPlace): Promise<number | undefined> {
  if ((await readRestoreState(unit))?.stage !== 'done') return undefined;
  const { state, kept } = await readRestore(unit);
  const isOurs = state.reached?.timeline === timeline && state.reached.switchLsn === history.at(-1)?.at;
  return isOurs ? kept.plan.incarnation : undefined;
}

function notNeeded({ cluster }: JobContext): Failure {
  return new Failure('refused', `the cluster ${cluster.label} owns its incarnation from its beginning`, {
    hint: 'There is nothing to take over; landscape-backup status says how it is.',
  });
}

async function refuseUnlessRestartAllowed({ cluster, unit, runtime, settings }: JobContext): Promise<void> {
  const waiting = await foreseeRestart(cluster, unit, {
    walArchiving: settings.walArchiving,
    walMethod: settings.walMethod,
    standing: 'owner',
    command: archiveCommand(runtime, unit.path),
    timeoutSeconds: settings.archiveTimeoutSeconds,
  });
  if (waiting.length === 0 || settings.restartPostgresql) return;
  throw new Failure(
    'refused',
    `${waiting.join(' and ')} of ${cluster.label} can only change with a restart, which the option restart-postgresql does not allow; nothing was claimed`,
    {
      hint: 'Set restart-postgresql to true, or set archive_mode = on yourself and restart the cluster, then take over.',
    },
  );
}

/** While archiving was off nobody archived them, and every later restore asks for them. */
async function storeHistories(
  { cluster, unit, settings }: JobContext,
  repository: Repository,
  incarnation: number,
): Promise<void> {
  const { systemIdentifier } = await readStanding({ cluster, unit }, repository);
  for (const { name, path } of await listHistories(cluster)) {
    await storeWal(repository, { systemIdentifier, incarnation }, parseWalName(name), path, settings.compressionLevel);
  }
}
