import { rm } from 'node:fs/promises';
import type { LandscapePlan } from '../../core/landscape-restore.ts';
import { lowerFence, readFence } from '../../landscape/fence.ts';
import { renewHashIds } from '../../landscape/hash-ids.ts';
import type { Service } from '../../landscape/services.ts';
import { removeFile } from '../../system/files.ts';
import { principalAction, restoreFolder, type LandscapeContext } from './context.ts';
import { forgetPrevious, putBackPrevious, readPrevious } from './previous.ts';
import { quiesceLocked } from './quiesce.ts';
import { withRestoreLock } from './restore-files.ts';
import { beginEnding, endingFile, forgetStaged, readEnding, refuseFailed, startAll, type Ending } from './resume.ts';

/** What was put back. */
export interface AbandonedFiles {
  readonly files: number;
  readonly services: readonly Pick<Service, 'unit' | 'state'>[];
  readonly notes: readonly string[];
}

/**
 * Undoes a restore on this unit, at whatever stage it is, and also when it is done: every file is what it was before, or is not
 * there as it was not before; the fence goes; what ran then is started again. May be repeated, and may be killed anywhere.
 */
export async function abandonFiles(context: LandscapeContext, plan: LandscapePlan): Promise<AbandonedFiles> {
  return await withRestoreLock(context, async () => {
    const previous = await readPrevious(context, plan.planId);
    const before = await readEnding(context, plan.planId);
    // Files are put back under the fence: also those of a restore that is done, whose services run again.
    if (previous !== undefined) await quiesceLocked(context, plan);
    const place = { machine: context.machine, folder: context.unit.path };
    const fence = await readFence(place);
    const isFenced = fence?.planId === plan.planId;
    if (!isFenced && before?.kind !== 'abandon') {
      await forget(context, plan);
      return { files: 0, services: [], notes: ['nothing of this plan was done on this unit'] };
    }
    const notes: string[] = [];
    if (previous !== undefined) {
      const kept = await putBackPrevious(context, previous);
      notes.push(...kept.map((path) => `${path} stays: others have put files there`));
    }
    if (isFenced) notes.push(...(await renewAgain(context, before)));
    const running = isFenced ? fence.running : (before?.running ?? []);
    // From here on there is nothing left to put back, but services may still have to be started.
    await beginEnding(context, plan, { format: 1, kind: 'abandon', running, hashIds: { is: 'not-tried' } });
    await forgetPrevious(context, plan.planId);
    if (isFenced) await lowerFence(place);
    const services = await startAgain(context, plan, running, notes);
    await forget(context, plan);
    return { files: previous?.files.length ?? 0, services, notes };
  });
}

/** Where they were made for the restored databases they mean nothing in the old ones. */
async function renewAgain(context: LandscapeContext, before: Ending | undefined): Promise<readonly string[]> {
  if (before === undefined || before.hashIds.is === 'not-tried') return [];
  const hashIds = await renewHashIds(context.machine, context.signal);
  return hashIds.is === 'not-made' ? [`hash-id databases were not made: ${hashIds.why}`] : [];
}

async function startAgain(
  context: LandscapeContext,
  plan: LandscapePlan,
  running: readonly string[],
  notes: string[],
): Promise<AbandonedFiles['services']> {
  if (plan.profile === 'charmed') {
    notes.push(`the services are the charm's: ${principalAction(context, 'resume')}`);
    return [];
  }
  const started = running.length === 0 ? [] : await startAll(running);
  refuseFailed(started, running);
  return started.map(({ unit, state }) => ({ unit, state }));
}

async function forget(context: LandscapeContext, plan: LandscapePlan): Promise<void> {
  await forgetStaged(context, plan);
  await rm(restoreFolder(context, plan.planId).operator, { recursive: true, force: true });
  await removeFile(endingFile(context, plan.planId));
}
