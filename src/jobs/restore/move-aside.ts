import { mkdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { Failure } from '../../core/failure.ts';
import type { RestorePlan } from '../../core/restore-plan.ts';
import { asideFolders, asideName, clearDirectory, setAside } from '../../postgres/directory-contents.ts';
import { errorCode } from '../../system/files.ts';
import type { RestoreRun } from './restore-context.ts';
import { refuseRunning } from './stop-and-fence.ts';

/** Every directory that a plan fills. */
export function directoriesOf({ directories }: RestorePlan): readonly string[] {
  const { data, wal, tablespaces } = directories;
  return [data, ...(wal === null ? [] : [wal]), ...tablespaces.map(({ location }) => location)];
}

/**
 * Moves aside what is in the directories of the plan, or removes it where the plan says so. They are empty afterwards. Says
 * whether anything lies aside.
 */
export async function moveAside({ context, kept: { id, plan } }: RestoreRun): Promise<boolean> {
  await refuseRunning(context);
  context.progress({ phase: plan.discardOld ? 'removing what was here' : 'setting aside what was here' });
  for (const directory of directoriesOf(plan)) {
    if (plan.discardOld) await clearDirectory(directory);
    else await setAside(directory, id);
  }
  return (await asideOf(id, plan)).length > 0;
}

/** The folders in which a plan's restore left what was there before. */
export async function asideOf(id: string, plan: RestorePlan): Promise<readonly string[]> {
  const found = await Promise.all(directoriesOf(plan).map(asideFolders));
  return found.flat().filter((folder) => basename(folder) === asideName(id));
}

/** Makes the directories that are not there yet. */
export async function makeDirectories(plan: RestorePlan): Promise<void> {
  for (const directory of directoriesOf(plan)) {
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new Failure('machine', `${directory} could not be made: ${errorCode(error) ?? String(error)}`, {
        hint: `Make it for the owner of the cluster (mode 0700), then: landscape-backup restore --continue`,
        cause: error,
      });
    }
  }
}
