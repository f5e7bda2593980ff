import { Option } from 'commander';
import { Failure } from '../core/failure.ts';
import { formatBytes } from '../core/words.ts';
import { listOld, removeOld as remove, type OldContents } from '../jobs/remove-old.ts';
import { readRestore } from '../jobs/restore/restore-state.ts';
import { textOption, type Verb } from './program.ts';

/** `remove-old`: removes what a restore has set aside. */
export const removeOld: Verb = {
  name: 'remove-old',
  summary: 'remove what a restore has set aside, when the restored cluster is good',
  help: `After this the restore can't be undone any more. It works only while the restored cluster runs.

  landscape-backup remove-old                  lists what would be removed
  landscape-backup remove-old --confirm=<plan id>`,
  options: [new Option('--confirm <plan id>', "the id of the restore's plan")],
  run: async (context, options) => {
    const { state } = await readRestore(context.unit);
    const confirm = textOption(options, 'confirm');
    if (confirm === undefined) {
      const old = await listOld(context);
      const lines =
        old.length === 0
          ? ['nothing lies aside']
          : [
              ...old.map(line),
              'Nothing has been removed yet. To remove it for good:',
              `  landscape-backup remove-old --cluster ${context.cluster.label} --confirm=${state.planId}`,
            ];
      return { text: lines.join('\n'), json: { old, planId: state.planId } };
    }
    if (confirm !== state.planId) {
      throw new Failure('refused', `the restore on this unit is of plan ${state.planId}, not ${confirm}`, {
        hint: 'landscape-backup remove-old lists what would be removed.',
      });
    }
    const removed = await remove(context);
    return { text: ['removed for good:', ...removed.map(line)].join('\n'), json: { removed } };
  },
};

function line({ path, bytes }: OldContents): string {
  return `  ${path} (${formatBytes(bytes)})`;
}
