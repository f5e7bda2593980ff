import { backupListSchema } from '../core/backup-list.ts';
import { timelineText } from '../core/timeline-text.ts';
import { readBackupList } from '../jobs/list-backups.ts';
import { withRepository } from './context.ts';
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
    const list = await withRepository(context, async (repository) => await readBackupList(context.unit, repository));
    return { text: timelineText(list), json: backupListSchema.encode(list) };
  },
};
