import { followJob, needDatabase, optionsOf, type Action } from './action.ts';

/** `copy-repository`: prints what a copy takes; with `confirm` it is made. */
export const copyRepository: Action = {
  name: 'copy-repository',
  run: async (call) => {
    needDatabase(call, 'copy-repository');
    return await followJob(call, ['copy-repository', ...optionsOf(call.params, 'to', 'from', 'confirm')]);
  },
};
