import { Option } from 'commander';
import { listOldFiles, removeOldFiles as remove } from '../jobs/landscape/old-files.ts';
import { landscapeContext } from './landscape-context.ts';
import { textOption, type Verb } from './program.ts';

/** `remove-old-files`: removes what a restore has kept aside on a Landscape unit. */
export const removeOldFiles: Verb = {
  name: 'remove-old-files',
  as: 'root',
  summary: 'remove the files that a restore has kept aside on this Landscape unit, when the restored ones are good',
  help: `They hold the secrets that were here before. After this the restore can't be undone on this unit any more.

  landscape-backup remove-old-files            lists what would be removed
  landscape-backup remove-old-files --confirm=<plan id>`,
  options: [new Option('--confirm <plan id>', "the id of the restore's plan")],
  run: async (root, options) => {
    const context = await landscapeContext(root);
    const confirm = textOption(options, 'confirm');
    if (confirm !== undefined) {
      const removed = await remove(context, confirm);
      return { text: `removed for good: ${removed.files} files of before plan ${removed.planId}`, json: { removed } };
    }
    const old = await listOldFiles(context);
    if (old.length === 0) return { text: 'no files lie aside', json: { old } };
    const lines = old.flatMap(({ planId, files }) => [
      `  ${files} files of before plan ${planId}: landscape-backup remove-old-files --confirm=${planId}`,
    ]);
    return { text: ['Nothing has been removed yet. To remove it for good:', ...lines].join('\n'), json: { old } };
  },
};
