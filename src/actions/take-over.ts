import { followJob, needDatabase, optionsOf, type Action } from './action.ts';

/** `take-over`: makes a restored copy the owner of its own line, or notes that it stays a copy. */
export const takeOver: Action = {
  name: 'take-over',
  run: async (call) => {
    needDatabase(call, 'take-over');
    return await followJob(call, ['take-over', ...optionsOf(call.params, 'keep-copy', 'incarnation')]);
  },
};
