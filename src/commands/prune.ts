import { Option } from 'commander';
import { withRepository } from './context.ts';
import { flag, textOption, type Verb } from './program.ts';
import { confirmPrune, printPrune } from './prune-both.ts';
import { pruneContext } from './prune-context.ts';
import { retire } from './retire.ts';

/** `prune`: prints what would expire, or deletes what was printed. */
export const prune: Verb = {
  name: 'prune',
  summary: 'print what has expired and why; --confirm deletes it',
  help: `By itself this deletes nothing. After a scheduled backup what has expired goes by itself, unless it is far more than
usual: then it waits for this. A second destination is pruned by what lies there, by a plan of its own.

  landscape-backup prune
  landscape-backup prune --confirm=<plan id>
  landscape-backup prune --retire-parent       the line that this cluster was restored from, when its owner is dead;
                                               once more, where there is a second destination, for what lies there`,
  options: [
    new Option(
      '--retire-parent',
      "delete the parent's line, after no sign of life for retention-days; --confirm does it",
    ),
    new Option('--confirm <plan id>', 'delete what the plan with this id says, nothing else'),
  ],
  run: async (context, options) =>
    await withRepository(context, async (repository) => {
      const confirm = textOption(options, 'confirm');
      const site = pruneContext(context, repository);
      if (flag(options, 'retireParent')) return await retire(context, site, confirm);
      return confirm === undefined ? await printPrune(context, site) : await confirmPrune(context, site, confirm);
    }),
};
