import { followJob, joined, type Action } from './action.ts';

/** `list-backups`: what can be restored, and which files of Landscape units are kept. */
export const listBackups: Action = {
  name: 'list-backups',
  run: async (call) => {
    const told = [];
    if (call.snapshot.roles.includes('postgresql')) told.push(await followJob(call, ['list-backups']));
    told.push(await followJob(call, ['list-files']));
    return joined(told);
  },
};
