import { Option } from 'commander';
import { Failure } from '../core/failure.ts';
import type { LandscapePlan } from '../core/landscape-restore.ts';
import { checkLandscape } from '../jobs/landscape/check.ts';
import { readLandscapePlan, type LandscapeContext } from '../jobs/landscape/context.ts';
import { planFiles } from '../jobs/landscape/plan-files.ts';
import { quiesce } from '../jobs/landscape/quiesce.ts';
import { restoreFiles as restore } from '../jobs/landscape/restore-files.ts';
import { resume } from '../jobs/landscape/resume.ts';
import { verifyFiles } from '../jobs/landscape/verify-files.ts';
import type { Repository } from '../repository/repository.ts';
import { identityFileOption, withIdentityFile } from './identity-file.ts';
import { landscapeContext, planOf, planOption, withLandscapeRepository } from './landscape-context.ts';
import { checkedText, reportLines, resumedText } from './landscape-stages.ts';
import type { Result } from './output.ts';
import { textOption, type Verb } from './program.ts';

/** `restore-files`: a stage of a restore; or, without Juju, the whole of it for one unit's files. */
export const restoreFiles: Verb = {
  name: 'restore-files',
  as: 'root',
  summary: "put production's files in place on this Landscape unit, and keep what was there",
  help: `With --plan it is one stage of a restore over all units. Without Juju root restores one unit's files by itself:
--from prints a plan and changes nothing, --confirm runs all its stages. service.conf is merged key by key: where this unit
connects to stays as it is. abandon-files puts back what was there.

  landscape-backup list-files
  landscape-backup restore-files --from <model>/<unit>
  landscape-backup restore-files --confirm=<plan id>`,
  options: [
    planOption,
    new Option('--from <model/unit>', 'whose files; prints a plan'),
    new Option('--set <id>', 'which of its file sets, instead of the newest'),
    new Option('--credentials <whose>', 'whose database passwords service.conf has')
      .choices(['spare', 'production'])
      .default('spare'),
    new Option('--confirm <plan id>', 'run the plan that was printed with this id'),
    identityFileOption,
  ],
  run: async (root, options) => {
    const context = await withIdentityFile(await landscapeContext(root), options);
    const from = textOption(options, 'from');
    const confirm = textOption(options, 'confirm');
    if ([from, confirm, textOption(options, 'plan')].filter((each) => each !== undefined).length > 1) {
      throw new Failure('usage', 'only one of --plan, --from and --confirm can be given');
    }
    return await withLandscapeRepository(
      context,
      async (open) => {
        if (from !== undefined) return await printPlan(context, open, from, options);
        if (confirm !== undefined) return await runAll(context, await readLandscapePlan(context, confirm), open);
        const report = await restore(context, await planOf(context, options), open);
        const text = [`${report.files} files are in place`, ...reportLines(report)].join('\n');
        return { text, json: { restoredFiles: report } };
      },
      { isReading: true },
    );
  },
};

async function printPlan(
  context: LandscapeContext,
  open: () => Promise<Repository>,
  from: string,
  options: Readonly<Record<string, unknown>>,
): Promise<Result> {
  const credentials = textOption(options, 'credentials') === 'production' ? 'production' : 'spare';
  const plan = await planFiles(context, await open(), { from, set: textOption(options, 'set'), credentials });
  const found = await checkLandscape(context, plan, open);
  const text = [
    `Plan ${plan.planId}: the files of ${from}, set ${plan.fileSet?.id ?? ''}, onto this unit`,
    checkedText(found),
    'Nothing has been changed yet. To do exactly this, on this machine:',
    `  landscape-backup restore-files --confirm=${plan.planId}`,
  ].join('\n');
  return { text, json: { plan: { ...plan, check: found } } };
}

async function runAll(
  context: LandscapeContext,
  plan: LandscapePlan,
  open: () => Promise<Repository>,
): Promise<Result> {
  await checkLandscape(context, plan, open);
  await quiesce(context, plan);
  const report = await restore(context, plan, open);
  await verifyFiles(context, plan);
  const resumed = await resume(context, plan);
  const lines = [
    `restored: ${report.files} files`,
    ...reportLines(report),
    resumedText(resumed),
    `To undo it: landscape-backup abandon-files --plan ${plan.planId}`,
  ];
  return { text: lines.join('\n'), json: { restoredFiles: { ...report, resumed } } };
}
