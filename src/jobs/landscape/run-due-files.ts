import { whyFilesAreDue } from '../../core/files-state.ts';
import { readFence } from '../../landscape/fence.ts';
import type { Repository } from '../../repository/repository.ts';
import { expectedRepository } from '../job-context.ts';
import { backupFiles, type KeptFiles } from './backup-files.ts';
import type { LandscapeContext } from './context.ts';
import { readFilesState } from './files-state.ts';

/** What a call came to, and why. */
type RanDueFiles =
  | { readonly is: 'idle'; readonly why: string }
  | { readonly is: 'kept'; readonly why: string; readonly kept: KeptFiles };

/** Keeps this unit's files when the schedule wants it. Safe to call every minute and any number of times at once. */
export async function runDueFiles(
  context: LandscapeContext,
  openRepository: () => Promise<Repository>,
  hostZone: string,
): Promise<RanDueFiles> {
  const idle = await whyIdle(context);
  if (idle !== undefined) return { is: 'idle', why: idle };
  const why = whyFilesAreDue({
    state: await readFilesState(context),
    schedule: context.settings.backupSchedule,
    now: context.clock.now(),
    hostZone,
  });
  if (why === undefined) return { is: 'idle', why: 'nothing is due' };
  return { is: 'kept', why, kept: await backupFiles(context, openRepository, { join: false }) };
}

/** Says why nothing can be done yet: it is no failure, and the status of the charm tells it already. */
async function whyIdle(context: LandscapeContext): Promise<string | undefined> {
  if (context.settings.destination === undefined) return 'the option destination is empty';
  if ((await expectedRepository(context)) === undefined) return 'this unit has not been told which repository to use';
  const fence = await readFence({ folder: context.unit.path });
  return fence === undefined ? undefined : `the restore of plan ${fence.planId} is under way`;
}
