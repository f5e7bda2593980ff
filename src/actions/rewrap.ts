import { followOpening, joined, optionsOf, type Action } from './action.ts';

/** `rewrap`: prints what of this unit's objects is encrypted to others; with `confirm` it is encrypted anew. */
export const rewrap: Action = {
  name: 'rewrap',
  run: async (call) => {
    const { snapshot, params } = call;
    const told = [];
    if (snapshot.roles.includes('postgresql'))
      told.push(await followOpening(call, ['rewrap', ...optionsOf(params, 'confirm')]));
    if (snapshot.roles.includes('landscape'))
      told.push(await followOpening(call, ['rewrap-files', ...optionsOf(params, 'confirm')]));
    return joined(told);
  },
};
