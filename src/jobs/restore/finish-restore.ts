import { join } from 'node:path';
import { archiveFile } from '../../archiver/archive-wal.ts';
import { archiveCommand } from '../../core/archiving-decision.ts';
import { toFailure } from '../../core/failure.ts';
import { readTimelinePath } from './timeline-files.ts';
import { archivingFile, writeArchivingFile } from '../../postgres/archiving-file.ts';
import { unfence } from '../../postgres/fence.ts';
import { walDirectory } from '../../postgres/timeline-history.ts';
import { readOwnerState } from '../../system/home.ts';
import { readText, removeFile } from '../../system/files.ts';
import { configure } from '../configure.ts';
import { rolesFile, takeOutOfService } from './begin-restore.ts';
import type { RestoreRun } from './restore-context.ts';

/**
 * Gives the recovered cluster back to its machine: nothing of the recovery is left, its first timeline of its own is archived
 * where it has an incarnation, and it runs as it always did. Gives back what a person must be told.
 */
export async function finishRestore(run: RestoreRun): Promise<readonly string[]> {
  const { context, state, kept } = run;
  const { cluster, control, progress } = context;
  progress({ phase: 'starting the cluster' });
  const owns = kept.plan.claims !== null;
  if (owns) await archiveOwnBeginning(run);
  if (owns) await setArchiving(run);
  await takeOutOfService(context);
  await unfence(cluster, state.found.startConf);
  await control.start(cluster);
  await removeFile(rolesFile(context.unit));
  return owns ? await reconcile(run) : [];
}

/** Recovery ran without archiving: what the new timeline wrote meanwhile, and its history, nobody else archives. */
async function archiveOwnBeginning({ context, state }: RestoreRun): Promise<void> {
  const owner = await readOwnerState(context.unit);
  if (owner === undefined || state.reached === null) return;
  for (const name of await readTimelinePath(context.cluster, state.reached)) {
    const path = join(walDirectory(context.cluster), name.name);
    await archiveFile(
      context.repository,
      owner,
      { name, path },
      { unit: context.unit, level: context.settings.compressionLevel },
    );
  }
}

/** Before the first start: no segment of the new incarnation is written that is not archived, and no second start is needed. */
async function setArchiving({ context }: RestoreRun): Promise<void> {
  const { cluster, settings, runtime, unit } = context;
  if (!settings.walArchiving || (await readText(archivingFile(cluster))) !== undefined) return;
  const values = {
    wal_level: 'replica',
    archive_mode: 'on',
    archive_command: archiveCommand(runtime, unit.path),
    archive_timeout: String(settings.archiveTimeoutSeconds),
  };
  await writeArchivingFile(cluster, values, 'Written by landscape-backup at the end of a restore.');
}

async function reconcile({ context }: RestoreRun): Promise<readonly string[]> {
  try {
    const { archiving } = await configure(
      { ...context, cluster: { ...context.cluster, running: true } },
      context.repository,
    );
    if (archiving?.is === 'restart-needed') {
      return [
        `Archiving waits for a restart of PostgreSQL (${archiving.waiting.join(', ')}): restart it, then landscape-backup init.`,
      ];
    }
    return [];
  } catch (error) {
    return [`Archiving could not be set: ${toFailure(error).message}. Mend it, then landscape-backup init.`];
  }
}
