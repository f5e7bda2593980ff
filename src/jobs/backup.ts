import { backupId, type Backup } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import { jobBegins, jobFailed, jobId, jobSucceeded } from '../core/journal-record.ts';
import { randomName } from '../system/files.ts';
import { appendJournal } from '../system/journal.ts';
import { takeLock } from '../system/lock.ts';
import { BackupRun, type BackupContext, type BackupOptions } from './backup-run.ts';

/**
 * Takes a base backup of the cluster and its configuration files. It is complete, with every segment from its start to its
 * stop stored, or it fails and nothing says that there is one.
 *
 * Fails with `busy` when this unit takes one already, `refused` when this unit is not the owner or archives elsewhere,
 * `unavailable` when the destination or archiving does not keep up, `postgres`, `machine`.
 */
export async function takeBackup(context: BackupContext, options: BackupOptions): Promise<Backup> {
  checkLabel(options.label);
  const lock = await takeLock(context.unit.lock('backup'), `a backup of ${context.cluster.label}`);
  try {
    const startedAt = context.clock.now();
    const random = randomName(3);
    const begun = jobBegins({
      id: jobId('backup', startedAt, random),
      kind: 'backup',
      trigger: options.trigger,
      startedAt,
    });
    await appendJournal(context.unit, begun);
    try {
      const backup = await new BackupRun(context, options, begun.id, backupId(startedAt, random)).run();
      await appendJournal(context.unit, jobSucceeded(begun, context.clock.now(), journalFacts(backup)));
      return backup;
    } catch (error) {
      await appendJournal(context.unit, jobFailed(begun, context.clock.now(), error));
      throw error;
    }
  } finally {
    await lock.release();
  }
}

/** PostgreSQL writes the label into a file of lines that recovery reads. */
function checkLabel(label: string | undefined): void {
  if (label === undefined) return;
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for.
  if (Buffer.byteLength(label) > 200 || /[\u0000-\u001f\u007f]/.test(label)) {
    throw new Failure('usage', 'a label is one line of at most 200 bytes');
  }
}

function journalFacts(backup: Backup) {
  const { plainBytes, storedBytes } = backup;
  return {
    numbers: { ...backup.timings, plainBytes, storedBytes, badPages: backup.badPages ? 1 : 0 },
    about: { backup: backup.id },
  };
}
