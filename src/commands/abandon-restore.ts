import { Option } from 'commander';
import { Failure } from '../core/failure.ts';
import { abandonRestore as abandon } from '../jobs/abandon-restore.ts';
import { readRestore } from '../jobs/restore/restore-state.ts';
import { textOption, type Verb } from './program.ts';

/** `abandon-restore`: puts back what was there before a restore. */
export const abandonRestore: Verb = {
  name: 'abandon-restore',
  summary: 'undo a restore: put back what was there before it',
  help: `Works on a restore that was interrupted and on one that is done, as long as the old contents lie aside. What was
restored is deleted, so it asks for the id of the restore's plan. No destination is needed.`,
  options: [new Option('--confirm <plan id>', "the id of the restore's plan")],
  run: async (context, options) => {
    const { state } = await readRestore(context.unit);
    const confirm = textOption(options, 'confirm');
    if (confirm === undefined) {
      const text = [
        `the restore of plan ${state.planId} on ${context.cluster.label} began ${state.startedAt.toISOString()} and is at: ${state.stage}`,
        'Abandoning deletes what it restored and puts back what was there before. To do that:',
        `  landscape-backup abandon-restore --cluster ${context.cluster.label} --confirm=${state.planId}`,
      ].join('\n');
      return { text, json: { restore: { planId: state.planId, stage: state.stage } } };
    }
    if (confirm !== state.planId) {
      throw new Failure('refused', `the restore on this unit is of plan ${state.planId}, not ${confirm}`, {
        hint: 'landscape-backup abandon-restore says what would be undone.',
      });
    }
    const { planId, running } = await abandon(context);
    const now = running ? 'and runs again' : 'and is stopped, as it was';
    return {
      text: `the restore of plan ${planId} is undone: ${context.cluster.label} is what it was before, ${now}`,
      json: { abandoned: { planId, running } },
    };
  },
};
