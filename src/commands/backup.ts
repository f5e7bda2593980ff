import { Option } from 'commander';
import { backupSchema, type Backup } from '../core/backup.ts';
import { formatLsn } from '../core/lsn.ts';
import { formatBytes, formatSeconds } from '../core/words.ts';
import { takeBackup } from '../jobs/backup.ts';
import { withRepository } from './context.ts';
import { textOption, type Verb } from './program.ts';

/** `backup`: takes a base backup now. */
export const backup: Verb = {
  name: 'backup',
  summary: 'take a base backup now',
  help: `The cluster goes on working. The backup is complete only when every WAL segment from its start to its stop is
stored; until then it is none. Its configuration files go with it. Old backups are pruned by the schedule, not by this.

  landscape-backup backup --label "before the upgrade"
  landscape-backup list-backups                what can be restored now`,
  options: [new Option('--label <text>', 'a line for people, shown by list-backups')],
  run: async (context, options) => {
    const taken = await withRepository(
      context,
      async (repository) =>
        await takeBackup({ ...context, repository }, { label: textOption(options, 'label'), trigger: 'person' }),
    );
    return { text: describe(taken), json: { backup: backupSchema.encode(taken) } };
  },
};

function describe(taken: Backup): string {
  const seconds = Object.values(taken.timings).reduce((sum, each) => sum + each, 0);
  const lines = [
    `backup ${taken.id} of ${taken.cluster} is complete`,
    `  ${formatBytes(taken.plainBytes)} of cluster in ${formatBytes(taken.storedBytes)}, ${formatSeconds(seconds)}`,
    `  from ${formatLsn(taken.startLsn)} to ${formatLsn(taken.stopLsn)} on timeline ${taken.timeline}, at ${taken.stoppedAt.toISOString()}`,
  ];
  if (taken.withWal) lines.push('  it carries its own WAL: it restores to its own end only, no point in time');
  if (taken.badPages) {
    lines.push('  ATTENTION: PostgreSQL found pages with wrong checksums in the cluster; its log names them.');
    lines.push('  next: restore an older backup beside it and compare, before the older ones expire.');
  }
  return lines.join('\n');
}
