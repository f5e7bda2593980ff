import { Failure } from '../core/failure.ts';
import { asideFolders, removeAside } from '../postgres/directory-contents.ts';
import { isInProduction } from '../postgres/server-process.ts';
import { run } from '../system/process.ts';
import { directoriesOf } from './restore/move-aside.ts';
import type { RestoreContext } from './restore/restore-context.ts';
import { readRestore, writeRestoreState } from './restore/restore-state.ts';
import { takeRestoreLock } from './restore/restore-lock.ts';

/** A folder with old contents. */
export interface OldContents {
  readonly path: string;
  readonly bytes: number;
}

type RemoveContext = Pick<RestoreContext, 'cluster' | 'unit'>;

/** What restores of this unit have set aside and nobody has removed, with what it takes. Fails with `refused` before a restore is done. */
export async function listOld({ unit, cluster }: RemoveContext): Promise<readonly OldContents[]> {
  const { state, kept } = await readRestore(unit);
  if (state.stage !== 'done') {
    throw new Failure('refused', `the restore of plan ${state.planId} is not done (${state.stage})`, {
      hint:
        state.stage === 'abandoned'
          ? 'What it had set aside is back in its place.'
          : 'Go on with it: landscape-backup restore --continue. Or go back: landscape-backup abandon-restore.',
    });
  }
  if (!(await isInProduction(cluster.dataDirectory))) {
    throw new Failure('refused', `${cluster.label} does not run: nothing proves yet that what was restored is good`, {
      hint: 'Start it and look at it first. To go back instead: landscape-backup abandon-restore.',
    });
  }
  const found: OldContents[] = [];
  for (const directory of directoriesOf(kept.plan)) {
    for (const path of await asideFolders(directory)) found.push({ path, bytes: await sizeOf(path) });
  }
  return found;
}

/** Removes for good what restores of this unit have set aside. Gives back what that was. */
export async function removeOld(context: RemoveContext): Promise<readonly OldContents[]> {
  const lock = await takeRestoreLock(context);
  try {
    const old = await listOld(context);
    const { state } = await readRestore(context.unit);
    // From now on nothing can be put back, however far the removal comes.
    await writeRestoreState(context.unit, { ...state, oldKept: false });
    for (const { path } of old) await removeAside(path);
    return old;
  } finally {
    await lock.release();
  }
}

async function sizeOf(path: string): Promise<number> {
  const { stdout } = await run('du', ['--summarize', '--block-size=1', '--', path], { timeoutMs: 600_000 });
  return Number(/^(\d+)/.exec(stdout)?.[1] ?? 0);
}
