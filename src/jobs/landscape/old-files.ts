import { join } from 'node:path';
import { planIdPattern } from '../../core/landscape-restore.ts';
import { Failure } from '../../core/failure.ts';
import { readFence } from '../../landscape/fence.ts';
import { namesIn } from '../../system/files.ts';
import type { LandscapeContext } from './context.ts';
import { forgetPrevious, readPrevious } from './previous.ts';
import { withRestoreLock } from './restore-files.ts';

/** Files that a restore kept aside on this unit. */
export interface OldFiles {
  readonly planId: string;
  readonly files: number;
}

/** What restores on this unit have kept aside and nobody has removed. */
export async function listOldFiles(context: LandscapeContext): Promise<readonly OldFiles[]> {
  const names = await namesIn(join(context.unit.path, 'previous'));
  const found: OldFiles[] = [];
  for (const planId of names.filter((name) => planIdPattern.test(name)).sort()) {
    const previous = await readPrevious(context, planId);
    if (previous !== undefined) found.push({ planId, files: previous.files.length });
  }
  return found;
}

/**
 * Removes for good what the restore of a plan kept aside; from then on it can't be undone. Fails with `refused` while that
 * restore is not over, and for a plan of which nothing is kept.
 */
export async function removeOldFiles(context: LandscapeContext, planId: string): Promise<OldFiles> {
  return await withRestoreLock(context, async () => {
    if ((await readFence({ folder: context.unit.path })) !== undefined) {
      throw new Failure('refused', `a restore is under way on this unit: what it kept aside may still be put back`, {
        hint: 'landscape-backup landscape-facts says how it is.',
      });
    }
    const old = (await listOldFiles(context)).find((each) => each.planId === planId);
    if (old === undefined) {
      throw new Failure('refused', `nothing is kept aside of the plan ${planId}`, {
        hint: 'landscape-backup remove-old-files lists what is.',
      });
    }
    await forgetPrevious(context, planId);
    return old;
  });
}
