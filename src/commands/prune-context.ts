import { askServer, type PruneContext } from '../jobs/prune-plan.ts';
import type { Repository } from '../repository/repository.ts';
import type { Context } from './context.ts';

/** The zone in which a schedule without one is meant. */
export function hostZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** What a prune of this unit works with. */
export function pruneContext(context: Context, repository: Repository): PruneContext {
  const { unit, settings, clock, cluster } = context;
  return { unit, settings, clock, repository, hostZone: hostZone(), server: async () => await askServer(cluster) };
}
