import { lowerFence, readFence } from '../../landscape/fence.ts';
import type { LandscapeContext } from './context.ts';
import { withRestoreLock } from './restore-files.ts';

/**
 * Takes the fence away whatever became of its restore; files stay as they are. Says whose fence it was, null where none stood.
 *
 * For a restore that nobody ends, and for a charm that goes: a fence without anybody to lower it would stand for ever.
 */
export async function unfence(context: LandscapeContext): Promise<string | null> {
  const place = { machine: context.machine, folder: context.unit.path };
  if ((await readFence(place)) === undefined) return null;
  return await withRestoreLock(context, async () => {
    const fence = await readFence(place);
    await lowerFence(place);
    return fence?.planId ?? null;
  });
}
