import * as z from 'zod';
import { clusterFactsSchema, factsWithout, toProblem, type ClusterFacts, type Problem } from '../core/cluster-facts.ts';
import { Failure, toFailure } from '../core/failure.ts';
import { findCluster, type Cluster } from '../postgres/cluster.ts';
import { runsFromSnap } from '../postgres/snap.ts';
import { parseJson } from '../system/files.ts';
import { readSettings } from '../system/home.ts';
import { askFirstLine } from '../system/process.ts';
import { readUnitIdentity } from '../system/unit-identity.ts';
import type { RootContext } from './context.ts';
import { asOwner, makeUnitFolder } from './owner-process.ts';
import type { Verb } from './program.ts';

/** Longer than the owner's own bounds, so that a destination that doesn't answer is told and the rest with it. */
const patienceMs = 50_000;

/** `facts`: everything that a charm's hook has to know of this unit's cluster, in one question. */
export const facts: Verb = {
  name: 'facts',
  as: 'root',
  summary: 'say everything about this unit that a program decides by, within a minute',
  help: `The charm asks it in its hooks. Changes nothing and always succeeds: what could not be asked stands in "problem", and
what is not known is null. --format json has the shape.`,
  run: async (context) => {
    const found = await readFacts(context);
    const text = found.problem?.message ?? found.health?.text ?? 'no PostgreSQL cluster is kept here';
    return { text, json: { facts: found } };
  },
};

async function readFacts(context: RootContext): Promise<ClusterFacts> {
  try {
    const identity = await readUnitIdentity(context.home);
    if (identity !== undefined && !identity.roles.includes('postgresql')) return factsWithout('none', null, null);
    if (await runsFromSnap()) return factsWithout('snap', null, snapProblem);
    const settings = await readSettings(context.home);
    return await askOwner(context, await findCluster(context.cluster, settings.clusters));
  } catch (error) {
    return factsWithout('none', null, problemOf(error));
  }
}

const snapProblem: Problem = {
  kind: 'machine',
  message:
    'PostgreSQL on this machine runs from the charmed-postgresql snap; this version keeps clusters of Debian and Ubuntu packages',
  hint: 'Keep that PostgreSQL with its own charm, or move Landscape to a PostgreSQL of the Ubuntu packages.',
};

async function askOwner({ home, program }: RootContext, cluster: Cluster): Promise<ClusterFacts> {
  const { label, major, running } = cluster;
  const known = { label, major, running, inRecovery: null, systemIdentifier: null };
  try {
    await makeUnitFolder(home, cluster);
    const asked = ['cluster-facts', '--home', home, '--cluster', label, '--format', 'json'];
    const [command, args] = asOwner(cluster, [...program, ...asked]);
    const line = await askFirstLine(command, args, patienceMs);
    if (line === undefined) {
      throw new Failure('unavailable', `nothing could be learned about ${label} within ${patienceMs / 1000} s`, {
        hint: 'Do the destination and the disks of this machine answer? landscape-backup status tries again.',
      });
    }
    const answer = parseJson(line, answerSchema, 'what cluster-facts says');
    return 'facts' in answer ? answer.facts : factsWithout('debian', known, answer.error);
  } catch (error) {
    return factsWithout('debian', known, problemOf(error));
  }
}

const answerSchema = z.union([
  z.object({ facts: clusterFactsSchema }),
  z.object({ error: z.object({ kind: z.string(), message: z.string(), hint: z.string().nullable() }) }),
]);

function problemOf(error: unknown): Problem {
  const { kind, message, hint } = toFailure(error);
  return toProblem({ kind, message, hint });
}
