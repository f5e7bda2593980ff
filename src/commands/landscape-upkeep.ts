import { landscapePlanSchema } from '../core/landscape-restore.ts';
import { writeLandscapePlan } from '../jobs/landscape/context.ts';
import { runDueFiles as run } from '../jobs/landscape/run-due-files.ts';
import { unfence as lower } from '../jobs/landscape/unfence.ts';
import { lookAtBoth } from '../jobs/second.ts';
import { parseJson } from '../system/files.ts';
import { landscapeContext, withLandscapeRepository } from './landscape-context.ts';
import { withSecondKept } from './keep-second.ts';
import type { Verb } from './program.ts';
import { hostZone } from './prune-context.ts';

/** `run-due-files`: what the timer calls every minute on a Landscape unit. */
export const runDueFiles: Verb = {
  name: 'run-due-files',
  as: 'root',
  summary: "keep this Landscape unit's files when the schedule wants it",
  help: 'The systemd timer calls it every minute. What was missed is made up for; what failed is tried again after a growing while.',
  run: async (root) => {
    const context = await landscapeContext(root);
    const about = { ...context, signal: root.signal };
    if (context.settings.second !== undefined) await lookAtBoth(about);
    return await withSecondKept(about, { fills: false }, async () => {
      const done = await withLandscapeRepository(context, async (open) => await run(context, open, hostZone()));
      if (done.is === 'idle') return { text: done.why, json: { done: [] } };
      const { set, isNew } = done.kept;
      const text = `files (${done.why}): ${isNew ? `file set ${set.id} is stored` : 'nothing has changed'}`;
      return { text, json: { done: [{ did: 'backup-files', why: done.why, fileSet: set.id, isNew }] } };
    });
  },
};

/** `keep-plan`: takes this unit's part of a plan from the charm. */
export const keepPlan: Verb = {
  name: 'keep-plan',
  as: 'root',
  summary: "keep this Landscape unit's part of a restore's plan, for the stages to read",
  help: 'The charm calls it on every unit of a restore that was confirmed. The part is JSON and holds no secret.',
  arguments: [{ name: 'part', description: 'what this unit does, as JSON' }],
  run: async (root, _options, [part = '']) => {
    const plan = parseJson(part, landscapePlanSchema, "this unit's part of the plan");
    await writeLandscapePlan(await landscapeContext(root), plan);
    return { text: `the plan ${plan.planId} is kept`, json: { kept: { planId: plan.planId } } };
  },
};

/** `unfence`: takes the fence away whatever became of its restore. */
export const unfence: Verb = {
  name: 'unfence',
  as: 'root',
  summary: 'take away the fence of a restore that nobody ends; files stay as they are',
  help: `Better ends are landscape-backup resume and landscape-backup abandon-files. After this Landscape can be started again,
with whatever files lie there: abandon-files still puts back what was there before.`,
  run: async (root) => {
    const planId = await lower(await landscapeContext(root));
    const text =
      planId === null
        ? 'there is no fence'
        : `the fence of plan ${planId} is gone; files are as they are: landscape-backup abandon-files --plan ${planId} puts the old ones back`;
    return { text, json: { unfenced: { planId } } };
  },
};
