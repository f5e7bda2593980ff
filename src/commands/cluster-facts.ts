import { readClusterFacts } from '../jobs/cluster-facts.ts';
import type { Verb } from './program.ts';

/** `cluster-facts`: the part of `facts` that the cluster's owner is asked for. */
export const clusterFacts: Verb = {
  name: 'cluster-facts',
  summary: 'say what a cluster is to this unit and to the repository, for programs',
  help: `facts asks it, bounded in time. Changes nothing. --format json has the shape.`,
  run: async (context) => {
    const facts = await readClusterFacts(context);
    return { text: facts.health?.text ?? context.cluster.label, json: { facts } };
  },
};
