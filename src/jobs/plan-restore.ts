import { join } from 'node:path';
import type { Backup } from '../core/backup.ts';
import type { ClusterCatalogue, IncarnationCatalogue } from '../core/catalogue.ts';
import { Failure } from '../core/failure.ts';
import { lsnNeedsTen } from '../core/recovery-settings.ts';
import { chooseBackups, chooseCluster, chooseIncarnation, chooseSelfContained } from '../core/restore-choice.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import { judgeStanding } from '../core/restore-standing.ts';
import { historiesOn, wayTo, type Stretch } from '../core/restorable.ts';
import { settleStop, type SettledStop } from '../core/settle-stop.ts';
import { settleSettings } from '../core/setting-precedence.ts';
import { readOwnFloors } from '../postgres/recovery-facts.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { listClusters, nextIncarnation } from '../repository/incarnations.ts';
import { findStop, type StopReader } from './find-stop.ts';
import { canLeaveLease } from './guest-right.ts';
import { localStanding } from './local-standing.ts';
import { checkMachine, measureRestore, type RestoreMeasurements } from './measure-restore.ts';
import type { PlanContext, RestoreRequest } from './plan-context.ts';
import { planId } from './kept-plans.ts';
import { planUnits } from './plan-units.ts';
import { needKeys, proveKeys } from './prove-keys.ts';
import { decideDirectories } from './restore-places.ts';

/** A plan that has been made: nothing was changed for it. */
export interface PlannedRestore {
  readonly plan: RestorePlan;
  readonly id: string;
  readonly backup: Backup;
  readonly measurements: RestoreMeasurements;
}

/** What is restored, and to where, before this machine is looked at. */
interface Source {
  readonly backup: Backup;
  readonly backupIncarnation: number;
  readonly timeline: number;
  readonly settled: SettledStop;
  readonly floors: Readonly<Record<string, number>>;
  readonly stretches: readonly Stretch[];
  readonly histories: RestorePlan['service']['histories'];
  readonly notes: readonly string[];
}

/**
 * Decides what a restore will do and proves that it can: every WAL segment that it needs has been fetched and verified.
 *
 * Changes nothing, at the destination or on this machine. Fails with `refused` when the restore can't succeed or may not be
 * done, with `damaged` or `missing` when WAL that it needs can't be used, with `machine` when this machine lacks something.
 */
export async function planRestore(context: PlanContext, request: RestoreRequest): Promise<PlannedRestore> {
  const { cluster, repository } = context;
  const local = await localStanding(context);
  const systemIdentifier = chooseCluster(
    request.systemIdentifier,
    await listClusters(repository),
    local.owned?.systemIdentifier,
  );
  const catalogue = await readCatalogue(repository, systemIdentifier);
  const standing = judgeStanding(local, catalogue, request);
  const { incarnation, notes } = chooseIncarnation(catalogue, request.incarnation, local.owned?.incarnation);
  needKeys(repository, request.inPlace || request.takeOver);
  const source = await findSource(context, catalogue, incarnation, request);
  const { backup } = source;
  checkVersion(context, backup, request);
  const settings = settleSettings(backup.settings, source.floors, await readOwnFloors(cluster));
  const files = await planUnits(context, {
    model: holderOf(catalogue, source.backupIncarnation),
    notAfter: filesUntil(request.target, source),
    filesFrom: request.filesFrom ?? {},
  });
  const plan: RestorePlan = {
    format: 1,
    repositoryId: repository.record.id,
    url: repository.storage.url,
    cluster: cluster.label,
    inPlace: request.inPlace,
    systemIdentifier,
    incarnation: incarnation.number,
    backup: { id: backup.id, incarnation: source.backupIncarnation },
    major: backup.major,
    segmentSize: backup.segmentSize,
    target: request.target,
    timeline: source.timeline,
    stop: source.settled.stop,
    switchLsn: source.settled.switchLsn,
    after: source.settled.after,
    restoredTo: source.settled.restoredTo,
    directories: await decideDirectories(cluster, backup, request.tablespaceMap),
    discardOld: request.discardOld,
    service: serviceOf(context, systemIdentifier, source),
    settings: { raised: { ...settings.raised }, carried: { ...settings.carried } },
    credentials: request.credentials,
    claims: request.inPlace || request.takeOver ? nextIncarnation(catalogue.incarnations) : null,
    units: [...files.units],
    notes: [
      ...files.notes,
      ...standing,
      ...notes,
      ...source.notes,
      ...source.settled.notes,
      ...shownNote(settings.shown),
      ...(await protectionNote(context, systemIdentifier, source, incarnation.number, local.owned !== undefined)),
    ],
  };
  await proveKeys(repository, plan, backup);
  const measurements = await measureRestore(context, plan, backup);
  checkMachine(plan, measurements);
  return { plan, id: planId(plan), backup, measurements };
}

/** The model whose unit owned the line when the backup was taken: its Landscape units' files belong to it. */
function holderOf({ incarnations }: ClusterCatalogue, incarnation: number): string {
  return incarnations.find(({ number }) => number === incarnation)?.owner.model ?? '';
}

/** Files newer than the database that comes back would not fit to it. */
function filesUntil(target: RestoreRequest['target'], { settled, backup }: Source): Date | undefined {
  if (target.to === 'end') return undefined;
  if (target.to === 'time') return target.time;
  return settled.restoredTo ?? backup.stoppedAt;
}

async function findSource(
  context: PlanContext,
  catalogue: ClusterCatalogue,
  incarnation: IncarnationCatalogue,
  request: RestoreRequest,
): Promise<Source> {
  const own = chooseSelfContained(catalogue, incarnation, request);
  if (own !== undefined) return ofItself(catalogue, incarnation, own);
  const { way, windows, notes } = chooseBackups(catalogue, incarnation, request);
  const { cluster, repository, signal, progress } = context;
  const newest = windows.at(-1)?.backup;
  if (newest !== undefined) checkVersion(context, newest, request);
  let read = 0;
  const reader: StopReader = {
    repository,
    systemIdentifier: catalogue.systemIdentifier,
    segmentSize: way.segmentSize,
    scratch: join(context.unit.path, 'scratch'),
    binaries: cluster.binaries,
    major: cluster.major,
    signal,
    onProgress: () => {
      read += way.segmentSize;
      progress?.({ phase: 'reading and verifying the WAL', bytes: read });
    },
  };
  const found = await findStop(reader, catalogue, way, windows, request.target);
  return {
    backup: found.window.backup,
    backupIncarnation: found.window.backupIncarnation,
    timeline: way.timeline,
    settled: found.settled,
    floors: found.floors,
    stretches: found.stretches,
    histories: historiesOn(catalogue, way).map((each) => ({ ...each })),
    notes,
  };
}

/** A backup that carries its own WAL needs none of the archive. */
function ofItself(
  catalogue: ClusterCatalogue,
  incarnation: IncarnationCatalogue,
  own: { readonly backup: Backup; readonly incarnation: number },
): Source {
  const { backup } = own;
  const reading = { stop: undefined, newestCommitMicros: undefined, newestMicros: undefined, floors: {} };
  const settled = settleStop(
    { to: 'backup' },
    { backup, reading, end: null, gap: undefined, segmentSize: backup.segmentSize },
  );
  if ('tooEarly' in settled) throw new Failure('internal', "a backup's own end lies before itself");
  const way = wayTo(catalogue, incarnation.number, backup.timeline);
  return {
    backup,
    backupIncarnation: own.incarnation,
    timeline: backup.timeline,
    settled,
    floors: {},
    stretches: [],
    histories: way === undefined ? [] : historiesOn(catalogue, way).map((each) => ({ ...each })),
    notes: ['This backup carries its own WAL: it restores to its own end, there is no point in time.'],
  };
}

function checkVersion({ cluster }: PlanContext, backup: Backup, { target }: RestoreRequest): void {
  if (backup.major !== cluster.major) {
    throw new Failure('refused', `the backup is of PostgreSQL ${backup.major}, ${cluster.label} is ${cluster.major}`, {
      hint: `Restore onto a cluster of the same major version: pg_createcluster ${backup.major} <name>`,
    });
  }
  if (target.to === 'lsn' && Number(backup.major) < 10) throw lsnNeedsTen(backup.major);
}

function serviceOf({ repository }: PlanContext, systemIdentifier: string, source: Source): RestorePlan['service'] {
  return {
    repositoryId: repository.record.id,
    url: repository.storage.url,
    systemIdentifier,
    segmentSize: source.backup.segmentSize,
    segments: source.stretches.map(({ timeline, first, last, incarnation, part }) => ({
      timeline,
      first,
      last,
      incarnation,
      ...(part === undefined ? {} : { part }),
    })),
    histories: source.histories,
  };
}

function shownNote(shown: readonly string[]): readonly string[] {
  return shown.length === 0 ? [] : [`Production also had, and this cluster keeps its own: ${shown.join(', ')}.`];
}

async function protectionNote(
  { repository }: PlanContext,
  systemIdentifier: string,
  source: Source,
  incarnation: number,
  isOwner: boolean,
): Promise<readonly string[]> {
  if (isOwner) return [];
  for (const each of new Set([source.backupIncarnation, incarnation])) {
    if (await canLeaveLease(repository, { systemIdentifier, incarnation: each })) continue;
    return [
      'Not protected against prune: this user may not write below guests/ there, so the owner may delete what is being restored.',
    ];
  }
  return [];
}
