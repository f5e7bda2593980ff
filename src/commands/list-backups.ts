import { backupListSchema } from '../core/backup-list.ts';
import { timelineText } from '../core/timeline-text.ts';
import { readBackupList } from '../jobs/list-backups.ts';
import { fromEither } from './either-repository.ts';
import type { Verb } from './program.ts';

/** `list-backups`: what can be restored, from when to when. */
export const listBackups: Verb = {
  name: 'list-backups',
  summary: 'list what can be restored, from when to when',
  help: `Reads the repository and nothing else: it works on a spare, and while PostgreSQL is down. Lines of other owners are
shown too; they are read-only here.

  landscape-backup list-backups
  landscape-backup restore --to time=<a second in one of the windows>`,
  run: async (context) => {
    return await fromEither(context, async (repository, from) => {
      const list = await readBackupList(context.unit, repository);
      const where = from === 'second' ? `at the second destination, ${repository.storage.url}:\n` : '';
      return { text: `${where}${timelineText(list)}`, json: backupListSchema.encode(list) };
    });
  },
};
