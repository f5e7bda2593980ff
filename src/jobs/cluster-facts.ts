import { firstProblem, healthForJson, type ClusterFacts } from '../core/cluster-facts.ts';
import { isFailure } from '../core/failure.ts';
import { assess } from '../core/health.ts';
import { readControlData } from '../postgres/control-data.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { readOwnerState, readPin } from '../system/home.ts';
import type { JobContext } from './job-context.ts';
import { isUnderWay, readRestoreState } from './restore/restore-state.ts';
import { readHealthFacts } from './status.ts';

const patienceMs = 10_000;

/** What this unit's cluster is, asked as its owner. Changes nothing, and takes seconds where the destination doesn't answer. */
export async function readClusterFacts(context: JobContext): Promise<ClusterFacts> {
  const { cluster, unit } = context;
  const facts = await readHealthFacts(context, { patienceMs, oneAtATime: true });
  const pin = await readPin(unit);
  const restore = await readRestoreState(unit);
  const isAnswering = cluster.running && facts.server === undefined;
  return {
    format: 1,
    kind: 'debian',
    cluster: {
      label: cluster.label,
      major: cluster.major,
      running: cluster.running,
      inRecovery: isAnswering ? facts.isInRecovery : null,
      systemIdentifier: await identifierOf(cluster),
    },
    problem: firstProblem(facts),
    pin: pin === undefined ? null : { id: pin.repositoryId, url: pin.url },
    owner: (await readOwnerState(unit)) ?? null,
    standing: facts.standing ?? null,
    health: healthForJson(assess(facts)),
    lag: facts.archiving?.lag ?? null,
    wal: facts.line ?? null,
    restore: restore !== undefined && isUnderWay(restore) ? { planId: restore.planId, stage: restore.stage } : null,
  };
}

async function identifierOf({ binaries, dataDirectory }: Cluster): Promise<string | null> {
  try {
    return (await readControlData(binaries, dataDirectory)).systemIdentifier;
  } catch (error) {
    if (isFailure(error, 'postgres')) return null;
    throw error;
  }
}
