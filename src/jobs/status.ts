import { classifyCommand, type EffectiveSetting } from '../core/archiving-decision.ts';
import type { ClusterCatalogue, IncarnationCatalogue } from '../core/catalogue.ts';
import { toFailure } from '../core/failure.ts';
import type { ArchivingFact, HealthFacts, StandingFact, Trouble } from '../core/health-facts.ts';
import type { JournalRecord } from '../core/journal-record.ts';
import { stillNeeded } from '../core/needed-backup.ts';
import { pointWindows } from '../core/point-window.ts';
import { ownerText } from '../core/incarnation.ts';
import { lastScheduled, nextScheduled } from '../core/schedule.ts';
import { waitingPrunes } from '../core/unusual-prune.ts';
import { readEffective } from '../postgres/archiving-facts.ts';
import { withConnection } from '../postgres/query.ts';
import { isInRecovery, readServerFacts } from '../postgres/server-facts.ts';
import { readArchiveState } from '../system/archive-state.ts';
import { within } from '../system/deadline.ts';
import { readJournal } from '../system/journal.ts';
import { readNeededBackups } from '../system/needed-backups.ts';
import { readArchiveLag } from './archive-lag.ts';
import { readStanding } from './configure.ts';
import { openSettingsRepository, openSettingsStorage, underLock, type JobContext } from './job-context.ts';
import { isKeptCopy } from './keep-copy.ts';
import { readCatalogueByMemory } from './remembered-wal.ts';
import { isUnderWay, readRestoreState } from './restore/restore-state.ts';
import { readSecondFact } from './second-facts.ts';
import { readStreamFact } from './stream-facts.ts';
import { readServerLine, walLineOf, type ServerLine } from './wal-line.ts';

const patienceMs = 30_000;
/** Without a heartbeat for so long a running backup is a dead one. */
const heartbeatMs = 15 * 60 * 1000;

/** How the repository is asked. */
interface AskOptions {
  readonly patienceMs: number;
  /**
   * One question at a time on this unit: where a destination doesn't answer, a process waits for it that nothing can end, and
   * who asks every few minutes shall not leave another one each time.
   */
  readonly oneAtATime: boolean;
}

/** Everything that a status is made of. Changes nothing but what is remembered of stored WAL; what can't be asked becomes part of it. */
export async function readHealthFacts(
  context: JobContext,
  how: AskOptions = { patienceMs, oneAtATime: false },
): Promise<HealthFacts> {
  const { settings, cluster, unit, clock } = context;
  const now = clock.now();
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const schedule = settings.backupSchedule;
  const restore = await readRestoreState(unit);
  const state = await readArchiveState(unit);
  return {
    now,
    label: cluster.label,
    destination: settings.destination?.url,
    walArchiving: settings.walArchiving,
    archiveTimeoutSeconds: settings.archiveTimeoutSeconds,
    isRunning: cluster.running,
    second: await readSecondFact(context),
    waitingPrunes: waitingPrunes(await readJournal(unit), settings.second !== undefined),
    restore: restore !== undefined && isUnderWay(restore) ? `plan ${restore.planId}, ${restore.stage}` : undefined,
    archiveFailure: state?.state === 'failing' ? { ...state, hint: state.hint ?? undefined } : undefined,
    nextBackup: schedule === undefined ? undefined : nextScheduled(schedule, now, zone),
    lastScheduled: schedule === undefined ? undefined : lastScheduled(schedule, now, zone),
    ...(await aboutServer(context)),
    ...(await aboutRepository(context, how)),
  };
}

function trouble(error: unknown): Trouble {
  const { kind, message, hint } = toFailure(error);
  return { kind, message, hint };
}

async function aboutServer(
  context: JobContext,
): Promise<Pick<HealthFacts, 'server' | 'isInRecovery' | 'archiving' | 'stream'>> {
  const { cluster } = context;
  const nothing = { isInRecovery: false, archiving: undefined, stream: undefined };
  if (!cluster.running) return { server: undefined, ...nothing };
  try {
    return await withConnection(cluster, async (connection) => {
      const facts = await readServerFacts(connection);
      const { isInRecovery } = facts;
      const archiving = archivingFact(
        await readEffective(connection),
        await readArchiveLag(context, connection, facts),
      );
      const stream = isInRecovery ? undefined : await readStreamFact(connection, context);
      return { server: undefined, isInRecovery, archiving, stream };
    });
  } catch (error) {
    return { server: trouble(error), ...nothing };
  }
}

function archivingFact(effective: ReadonlyMap<string, EffectiveSetting>, lag: ArchivingFact['lag']): ArchivingFact {
  const value = (name: string) => effective.get(name)?.value ?? '';
  const library = value('archive_library');
  const command = library === '' ? value('archive_command') : library;
  const kind = library === '' ? classifyCommand(command) : 'foreign';
  const is = { ours: 'ours', foreign: 'foreign', discards: 'discarded', empty: 'off' } as const;
  const waiting = [...effective.values()].filter(({ pendingRestart }) => pendingRestart).map(({ name }) => name);
  return { is: value('archive_mode') === 'off' ? 'off' : is[kind], command, waiting, lag };
}

type RepositoryFacts = Pick<
  HealthFacts,
  'repository' | 'standing' | 'backups' | 'runningBackupSince' | 'lastFailure' | 'needed' | 'holes' | 'window' | 'line'
>;

async function aboutRepository(context: JobContext, how: AskOptions): Promise<RepositoryFacts> {
  const nothing = {
    backups: undefined,
    runningBackupSince: undefined,
    lastFailure: undefined,
    needed: [],
    holes: [],
    window: undefined,
    line: undefined,
  };
  try {
    return await within(
      how.patienceMs,
      `the repository at ${context.settings.destination?.url ?? 'no destination'}`,
      how.oneAtATime ? askAlone(context) : ask(context),
    );
  } catch (error) {
    return { repository: trouble(error), standing: undefined, ...nothing };
  }
}

async function askAlone(context: JobContext): Promise<RepositoryFacts> {
  const what = `a question to the repository about ${context.cluster.label}`;
  return await underLock(context.unit, 'ask', what, async () => await ask(context));
}

async function ask(context: JobContext): Promise<RepositoryFacts> {
  const storage = await openSettingsStorage(context);
  try {
    const repository = await openSettingsRepository(context, storage);
    const found = await readStanding(context, repository);
    const isOwner = found.standing.is === 'owner';
    const server = isOwner ? await lookAtServer(context) : undefined;
    const catalogue = await readCatalogueByMemory(context, repository, found.systemIdentifier);
    const number = found.standing.is === 'owner' ? found.standing.incarnation.number : undefined;
    const own = catalogue.incarnations.find((each) => each.number === number);
    return {
      repository: 'open',
      standing: await standingFact(context, found),
      ...(await aboutOwn(context, catalogue, own)),
      line: own === undefined || server === undefined ? undefined : walLineOf(catalogue, own, server),
    };
  } finally {
    await storage.close();
  }
}

/** What can't be asked of the server is told where the rest of it is. */
async function lookAtServer(context: JobContext): Promise<ServerLine | undefined> {
  const { settings, cluster } = context;
  if (!settings.walArchiving || !cluster.running) return undefined;
  try {
    return (await isInRecovery(cluster)) ? undefined : await readServerLine(context);
  } catch {
    return undefined;
  }
}

async function standingFact(
  { unit }: JobContext,
  { standing, systemIdentifier }: Awaited<ReturnType<typeof readStanding>>,
): Promise<StandingFact> {
  if (standing.is === 'none') return { is: 'none' };
  if (standing.is === 'owner') return { is: 'owner', incarnation: standing.incarnation.number };
  const newest = standing.incarnations.at(-1)?.owner;
  const of = newest === undefined ? systemIdentifier : ownerText(newest);
  return { is: 'copy', of, isKept: await isKeptCopy(unit, systemIdentifier) };
}

async function aboutOwn(
  context: JobContext,
  catalogue: ClusterCatalogue,
  own: IncarnationCatalogue | undefined,
): Promise<Omit<RepositoryFacts, 'repository' | 'standing' | 'line'>> {
  const { unit, clock } = context;
  const jobs = (await readJournal(unit)).filter(({ kind }) => kind === 'backup');
  const ended = jobs.findLast(({ outcome }) => outcome !== 'running');
  const backups = own?.backups ?? [];
  const window = own === undefined ? undefined : pointWindows(catalogue, own).at(-1);
  return {
    backups: { complete: backups.length, newest: backups.at(-1)?.startedAt },
    runningBackupSince: runningSince(jobs, own, clock.now()),
    lastFailure: failureOf(ended),
    needed: stillNeeded(await readNeededBackups(unit), backups),
    holes: own?.holes ?? [],
    window: window === undefined ? undefined : { from: window.from.at, to: window.to.at },
  };
}

function failureOf(job: JournalRecord | undefined): HealthFacts['lastFailure'] {
  if (job === undefined || job.failure === null) return undefined;
  const { kind, message, hint } = job.failure;
  return { kind, message, hint: hint ?? undefined, at: job.startedAt };
}

/** A backup that was killed stays `running` in the journal for ever; its lease stops beating. */
function runningSince(
  jobs: readonly JournalRecord[],
  own: IncarnationCatalogue | undefined,
  now: Date,
): Date | undefined {
  const newest = jobs.at(-1);
  if (newest?.outcome !== 'running') return undefined;
  const beats = (own?.leases ?? []).some(
    ({ lease, isGuest }) =>
      lease !== undefined &&
      !isGuest &&
      lease.kind === 'backup' &&
      !lease.ended &&
      now.getTime() - lease.at.getTime() < heartbeatMs,
  );
  return beats ? newest.startedAt : undefined;
}
