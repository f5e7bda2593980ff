import { Failure, isFailure } from '../core/failure.ts';
import { standing } from '../core/incarnation.ts';
import type { LocalStanding } from '../core/restore-standing.ts';
import { readControlData } from '../postgres/control-data.ts';
import { missingPrograms } from '../postgres/recovery-facts.ts';
import { listIncarnations } from '../repository/incarnations.ts';
import { readOwnerState } from '../system/home.ts';
import type { PlanContext } from './plan-context.ts';

/** Looks at what this machine's cluster is, in its data directory and to the repository. */
export async function localStanding(context: PlanContext): Promise<LocalStanding> {
  const { cluster, repository, unit } = context;
  const missing = await missingPrograms(cluster);
  if (missing.length > 0) {
    throw new Failure(
      'machine',
      `PostgreSQL ${cluster.major} is not whole on this machine: ${missing.join(', ')} is missing`,
      {
        hint: `apt-get install postgresql-${cluster.major}`,
      },
    );
  }
  const state = await readOwnerState(unit);
  let owned: LocalStanding['owned'];
  if (state !== undefined) {
    const known = await listIncarnations(repository, state.systemIdentifier);
    const found = standing(state.ownerId, state.incarnation, known);
    if (found.is === 'owner')
      owned = { systemIdentifier: state.systemIdentifier, incarnation: found.incarnation.number };
  }
  return { label: cluster.label, running: cluster.running, systemIdentifier: await identifierOf(context), owned };
}

/** The identifier in the data directory; a lost or half-restored one has none, which is no reason not to restore. */
async function identifierOf({ cluster }: PlanContext): Promise<string | undefined> {
  try {
    return (await readControlData(cluster.binaries, cluster.dataDirectory)).systemIdentifier;
  } catch (error) {
    if (isFailure(error, 'postgres')) return undefined;
    throw error;
  }
}
