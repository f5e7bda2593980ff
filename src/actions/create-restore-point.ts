import { followJob, needDatabase, type Action } from './action.ts';

/** `create-restore-point`: names this moment. */
export const createRestorePoint: Action = {
  name: 'create-restore-point',
  run: async (call) => {
    const name = String(call.params['name']);
    needDatabase(call, 'create-restore-point', `name=${name}`);
    return await followJob(call, ['create-restore-point', name]);
  },
};
