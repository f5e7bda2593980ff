import { formatLsn } from '../core/lsn.ts';
import { restorePointSchema } from '../core/record.ts';
import { createRestorePoint as create } from '../jobs/create-restore-point.ts';
import { withRepository } from './context.ts';
import type { Verb } from './program.ts';

/** `create-restore-point`: names this moment. */
export const createRestorePoint: Verb = {
  name: 'create-restore-point',
  summary: 'name this moment, to restore to it later',
  help: `Before an upgrade, for instance. Nothing is copied; the name is written into the WAL and recorded.

  landscape-backup create-restore-point before-upgrade
  landscape-backup restore --to name=before-upgrade`,
  arguments: [{ name: 'name', description: 'a name that this cluster has not used yet' }],
  run: async (context, _options, [name = '']) => {
    const point = await withRepository(context, async (repository) => await create(context, repository, name));
    return {
      text: `restore point "${point.name}" is at ${formatLsn(point.lsn)} on timeline ${point.timeline}, ${point.at.toISOString()}`,
      json: { restorePoint: restorePointSchema.encode(point) },
    };
  },
};
