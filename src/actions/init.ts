import { followJob, optionsOf, databaseUnits, needDatabase, type Action } from './action.ts';

/** `init`: creates the repository, or joins it. Where a database is related, its unit does it: it must be able to write there. */
export const init: Action = {
  name: 'init',
  run: async (call) => {
    const { snapshot, params } = call;
    if (!snapshot.roles.includes('postgresql') && databaseUnits(snapshot).length > 0) needDatabase(call, 'init');
    const verb = snapshot.roles.includes('postgresql') ? 'init' : 'init-files';
    return await followJob(call, [verb, ...optionsOf(params, 'join')]);
  },
};
