import type { ClusterFacts } from './cluster-facts.ts';
import type { Role } from './site.ts';
import type { ApplicationBag, ChosenRepository, SharedOwner, UnitBag } from './unit-bag.ts';

/** What decides which jobs a hook starts by itself. */
export interface ReconcileFacts {
  readonly roles: readonly Role[];
  readonly application: ApplicationBag;
  readonly cluster: ClusterFacts | undefined;
  /** The settings file has changed in this hook. */
  readonly settingsChanged: boolean;
  /** A restore over all units is open: nothing else touches the cluster. */
  readonly isRestoring: boolean;
}

/**
 * The jobs that bring a PostgreSQL unit in line with what its application agreed on, in their order. Each may be started
 * again in the next hook; none creates a repository.
 */
export function reconcileJobs(facts: ReconcileFacts): readonly (readonly string[])[] {
  const { roles, application, cluster, settingsChanged, isRestoring } = facts;
  const { repository, owner } = application;
  if (
    !roles.includes('postgresql') ||
    isRestoring ||
    cluster === undefined ||
    cluster.cluster === null ||
    cluster.restore !== null
  )
    return [];
  if (repository === undefined) return [];
  const adopts = wantsOwner(cluster, owner);
  if (adopts !== undefined) return [adopts];
  if (cluster.pin?.id !== repository.id) return joinJobs(cluster);
  return settingsChanged && cluster.standing?.is === 'owner' ? [['configure']] : [];
}

/** A standby of the application's own cluster goes on under the same owner when it is promoted. */
function wantsOwner(cluster: ClusterFacts, owner: SharedOwner | undefined): readonly string[] | undefined {
  if (owner === undefined || cluster.cluster?.systemIdentifier !== owner.systemIdentifier) return undefined;
  if (cluster.cluster.inRecovery !== true || !isBehind(cluster.owner, owner)) return undefined;
  return [
    'adopt-owner',
    `--owner-id=${owner.ownerId}`,
    `--system-identifier=${owner.systemIdentifier}`,
    `--incarnation=${owner.incarnation}`,
  ];
}

/** The primary's line may have gone on to another incarnation, by a restore in place. */
function isBehind(own: ClusterFacts['owner'], owner: SharedOwner): boolean {
  return own === null || (own.ownerId === owner.ownerId && own.incarnation < owner.incarnation);
}

/** A restored copy is joined by its take-over, with all that this means; everything else by `init`. */
function joinJobs({ standing }: ClusterFacts): readonly (readonly string[])[] {
  return standing?.is === 'copy' ? [] : [['init', '--join']];
}

/** The repository that all units agree on: chosen once, by the first who was joined to one; only `init` changes it. */
export function agreedRepository(
  known: ChosenRepository | undefined,
  said: readonly (ChosenRepository | undefined)[],
): ChosenRepository | undefined {
  return known ?? said.find((each) => each !== undefined);
}

/** The owner that all units agree on: what the primary says, which is the newest incarnation of the newest claim. */
export function agreedOwner(known: SharedOwner | undefined, bags: readonly UnitBag[]): SharedOwner | undefined {
  const primary = bags.find(({ facts, owner }) => owner !== undefined && facts?.cluster?.inRecovery === false);
  return primary?.owner ?? known;
}
