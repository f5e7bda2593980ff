import { Failure } from '../core/failure.ts';
import { followJob, joined, optionsOf, type Action } from './action.ts';
import { openRestore } from './open-restore.ts';

/** `remove-old`: removes for good what a restore has set aside, on this unit. */
export const removeOld: Action = {
  name: 'remove-old',
  run: async (call) => {
    const { snapshot, params } = call;
    const open = openRestore(snapshot);
    if (open !== undefined) {
      throw new Failure('refused', `the restore ${open.planId} is not done: what it set aside may still be put back`, {
        hint: 'juju status tells how far it is.',
      });
    }
    const told = [];
    if (snapshot.roles.includes('postgresql'))
      told.push(await followJob(call, ['remove-old', ...optionsOf(params, 'confirm')]));
    if (snapshot.roles.includes('landscape'))
      told.push(await followJob(call, ['remove-old-files', ...optionsOf(params, 'confirm')]));
    return joined(told);
  },
};
