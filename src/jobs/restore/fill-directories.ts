import type { Part } from '../../core/backup.ts';
import { restoredAutoConfiguration } from '../../core/auto-configuration.ts';
import { restoreCommand } from '../../core/restore-command.ts';
import { recoverySettings, type RecoverySettings } from '../../core/recovery-settings.ts';
import { formatBytes } from '../../core/words.ts';
import { autoConfigurationFile } from '../../postgres/auto-configuration.ts';
import { clearDirectory } from '../../postgres/directory-contents.ts';
import { writeRecoveryFiles } from '../../postgres/recovery-run.ts';
import { unpackBackup, type KeptFiles } from '../../postgres/unpack.ts';
import { layout } from '../../repository/layout.ts';
import { readParts } from '../../repository/parts.ts';
import { writeAtomically } from '../../system/files.ts';
import { makeMeter } from '../job-progress.ts';
import { directoriesOf, makeDirectories } from './move-aside.ts';
import type { RestoreRun } from './restore-context.ts';
import { refuseRunning } from './stop-and-fence.ts';

/** How PostgreSQL is told to recover by a plan. */
export function recoveryOf({ context, kept: { plan } }: RestoreRun): RecoverySettings {
  const { major, target, stop, timeline } = plan;
  const command = restoreCommand(context.runtime, context.unit.path);
  return recoverySettings({ major, target, stop, timeline, restoreCommand: command });
}

/**
 * Fills the directories of the plan with its backup, from the beginning: what an earlier try left is removed.
 *
 * Settings, links and recovery files are in place before the control file is: from then on a server may be started, by us.
 */
export async function fillDirectories(run: RestoreRun): Promise<void> {
  const { context, kept, backup } = run;
  const { plan } = kept;
  const { repository, progress } = context;
  await refuseRunning(context);
  for (const directory of directoriesOf(plan)) await clearDirectory(directory);
  await makeDirectories(plan);
  const folder = layout.backup(
    { systemIdentifier: plan.systemIdentifier, incarnation: plan.backup.incarnation },
    backup.id,
  );
  const { manifest } = backup;
  let [received, unpacked] = [0, 0];
  const tell = makeMeter('unpacking the backup', backup.storedBytes, () => performance.now(), progress);
  const fetched = async function* (parts: readonly Part[]) {
    for await (const chunk of readParts(repository, folder, parts)) {
      received += chunk.byteLength;
      tell(received, `${formatBytes(unpacked)} unpacked`);
      yield chunk;
    }
  };
  await unpackBackup({
    directories: plan.directories,
    major: plan.major,
    archives: backup.archives.map(({ oid, parts }) => ({ oid, body: () => fetched(parts) })),
    manifest: manifest === null ? undefined : () => fetched([manifest]),
    beforeControlFile: async (files) => {
      await writeSettings(run, files);
      await writeRecoveryFiles(plan.directories.data, recoveryOf(run));
    },
    report: (bytes) => {
      unpacked = bytes;
    },
    signal: context.signal,
  });
}

async function writeSettings({ context, kept: { plan }, state }: RestoreRun, files: KeptFiles): Promise<void> {
  const text = restoredAutoConfiguration({
    production: files.get('postgresql.auto.conf')?.toString('utf8') ?? '',
    own: state.found.autoConfiguration,
    ...plan.settings,
    isCopy: plan.claims === null,
  });
  await writeAtomically(autoConfigurationFile(context.cluster), text, 0o600);
}
