import { leaveCluster } from '../jobs/leave.ts';
import type { Verb } from './program.ts';

/** `leave`: takes our settings off a cluster. */
export const leave: Verb = {
  name: 'leave',
  summary: 'stop archiving this cluster and put back the settings that were found',
  help: `The repository stays as it is, and can be restored from. No destination is needed, and the cluster may be down.
landscape-backup init comes back as the same owner.`,
  run: async (context) => {
    const { note } = await leaveCluster(context);
    const text = `cluster ${context.cluster.label} is as it was found: nothing archives it for this repository any more`;
    return { text: note === undefined ? text : `${text}\n  ${note}`, json: { left: { note: note ?? null } } };
  },
};
