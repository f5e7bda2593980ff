import { createHash } from 'node:crypto';
import type { IncarnationCatalogue } from '../core/catalogue.ts';
import { Failure } from '../core/failure.ts';
import { planIdOf } from '../core/plan-id.ts';
import { planRetention } from '../core/retention.ts';
import type { RetentionPlan, RetentionPolicy } from '../core/retention-plan.ts';
import { lastScheduled } from '../core/schedule.ts';
import type { Settings } from '../core/settings.ts';
import { identifySystem } from '../postgres/backup-way.ts';
import { withConnection, type Address } from '../postgres/query.ts';
import { serverTime } from '../postgres/server-facts.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { proveOwnership } from '../repository/ownership.ts';
import type { Repository } from '../repository/repository.ts';
import type { Clock } from '../system/clock.ts';
import { readOwnerState, type OwnerState, type UnitFolder } from '../system/home.ts';

/** What the server says of itself at a moment. */
export interface ServerNow {
  readonly at: Date;
  readonly timeline: number;
}

/** What a prune works with. */
export interface PruneContext {
  readonly unit: UnitFolder;
  readonly repository: Repository;
  /** It lies at the second destination, whose prunes are counted by themselves. */
  readonly isSecond?: boolean | undefined;
  readonly settings: Pick<Settings, 'retentionCount' | 'retentionDays' | 'backupSchedule'>;
  /** The host's time zone. */
  readonly hostZone: string;
  readonly clock: Clock;
  /** Asks the running server. */
  server(): Promise<ServerNow>;
}

/** A plan of what expires; its id is a digest of everything that would be deleted. */
export interface PrunePlan {
  readonly id: string;
  readonly systemIdentifier: string;
  readonly ownerId: string;
  readonly policy: RetentionPolicy;
  readonly retention: RetentionPlan;
}

/** Asks a running server for its time and its timeline. */
export async function askServer(address: Address): Promise<ServerNow> {
  const { timeline } = await identifySystem(address);
  return { at: await withConnection(address, serverTime), timeline };
}

/** Plans what expires; nothing is touched. Fails with `refused` on a unit that owns nothing. */
export async function makePrunePlan(context: PruneContext): Promise<PrunePlan> {
  const state = await ownState(context);
  const { repository, settings, hostZone, clock } = context;
  const incarnations = await ownIncarnations(repository, state);
  const policy: RetentionPolicy = { count: settings.retentionCount, days: settings.retentionDays };
  const server = await context.server();
  const destination = await repository.storage.clock();
  const host = clock.now();
  const retention = planRetention({
    incarnations,
    current: { incarnation: state.incarnation, timeline: server.timeline },
    policy,
    clocks: { host, server: server.at, destination },
    scheduledAt:
      settings.backupSchedule === undefined ? undefined : lastScheduled(settings.backupSchedule, host, hostZone),
  });
  const { systemIdentifier, ownerId } = state;
  return { id: planId(context, systemIdentifier, retention), systemIdentifier, ownerId, policy, retention };
}

/** This unit's owner state, as the repository confirms it. */
async function ownState({ unit, repository }: PruneContext): Promise<OwnerState> {
  const state = await readOwnerState(unit);
  if (state === undefined) {
    throw new Failure(
      'refused',
      `this unit owns nothing in ${repository.storage.url}, so it may delete nothing there`,
      {
        hint: 'Prune on the unit that owns the cluster; a restored copy prunes after landscape-backup take-over.',
      },
    );
  }
  await proveOwnership(repository, state, state.ownerId);
  return state;
}

/** Restores in place leave several incarnations of one owner; another owner's are none of our business. */
async function ownIncarnations(repository: Repository, state: OwnerState): Promise<readonly IncarnationCatalogue[]> {
  const { incarnations } = await readCatalogue(repository, state.systemIdentifier);
  return incarnations.filter(({ owner }) => owner.ownerId === state.ownerId);
}

function planId({ repository, isSecond = false }: PruneContext, systemIdentifier: string, plan: RetentionPlan): string {
  const decisions = [
    repository.record.id,
    // What is confirmed for the one is never done at the other.
    ...(isSecond ? ['second'] : []),
    systemIdentifier,
    plan.delete.map(({ incarnation, backup }) => [incarnation, backup.id]),
    plan.unfinished.sweep.map(({ incarnation, id }) => [incarnation, id]),
    plan.wal.delete.map(({ incarnation, timeline, first, last }) => [incarnation, timeline, first, last]),
  ];
  return planIdOf(createHash('sha256').update(JSON.stringify(decisions)).digest('hex'));
}
