import { Option } from 'commander';
import { Failure } from '../core/failure.ts';
import { abandonRestore as abandon, refuseLoss } from '../jobs/abandon-restore.ts';
import { readRestore, readRestoreState } from '../jobs/restore/restore-state.ts';
import type { UnitFolder } from '../system/home.ts';
import { flag, textOption, type Verb } from './program.ts';

/** `abandon-restore`: puts back what was there before a restore. */
export const abandonRestore: Verb = {
  name: 'abandon-restore',
  summary: 'undo a restore: put back what was there before it',
  help: `Works on a restore that was interrupted and on one that is done, as long as the old contents lie aside. What was
restored is deleted, so it asks for the id of the restore's plan. No destination is needed.`,
  options: [
    new Option('--confirm <plan id>', "the id of the restore's plan"),
    new Option('--check', 'with --confirm: only look whether it can be undone, and change nothing'),
    new Option(
      '--if-begun',
      'with --confirm: where nothing of that restore was done here, or it is undone, all is well',
    ),
  ],
  run: async (context, options) => {
    if (flag(options, 'ifBegun') && !(await isToUndo(context.unit, textOption(options, 'confirm')))) {
      return { text: 'nothing of this restore is on this unit: there is nothing to undo', json: { abandoned: null } };
    }
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
    if (flag(options, 'check')) {
      await refuseLoss(context);
      return { text: `the restore of plan ${state.planId} can be undone`, json: { restore: { planId: state.planId } } };
    }
    const { planId, running } = await abandon(context);
    const now = running ? 'and runs again' : 'and is stopped, as it was';
    return {
      text: `the restore of plan ${planId} is undone: ${context.cluster.label} is what it was before, ${now}`,
      json: { abandoned: { planId, running } },
    };
  },
};

/** A restore over several units may be given up before it came to the database, and giving up may be done twice. */
async function isToUndo(unit: UnitFolder, planId: string | undefined): Promise<boolean> {
  const state = await readRestoreState(unit);
  return state !== undefined && state.planId === planId && state.stage !== 'abandoned';
}
