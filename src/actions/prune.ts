import { followJob, needDatabase, optionsOf, type Action } from './action.ts';

/** `prune`: prints what has expired; with `confirm` exactly that is deleted. */
export const prune: Action = {
  name: 'prune',
  run: async (call) => {
    needDatabase(call, 'prune');
    return await followJob(call, ['prune', ...optionsOf(call.params, 'retire-parent', 'confirm')]);
  },
};
