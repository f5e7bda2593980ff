import { Failure } from '../core/failure.ts';
import { followJob, needDatabase, optionsOf, type Action } from './action.ts';
import { openRestore } from './open-restore.ts';

/** `remove-old`: removes for good what a restore has set aside, on this unit. */
export const removeOld: Action = {
  name: 'remove-old',
  run: async (call) => {
    needDatabase(call, 'remove-old');
    const open = openRestore(call.snapshot);
    if (open !== undefined) {
      throw new Failure('refused', `the restore ${open.planId} is not done: what it set aside may still be put back`, {
        hint: 'juju status tells how far it is.',
      });
    }
    return await followJob(call, ['remove-old', ...optionsOf(call.params, 'confirm')]);
  },
};
