import { followOpening, joined, type Action } from './action.ts';

/** `check`: proves the chain of everything that this unit keeps. */
export const check: Action = {
  name: 'check',
  run: async (call) => {
    const { roles } = call.snapshot;
    const told = [];
    if (roles.includes('postgresql')) told.push(await followOpening(call, ['check']));
    if (roles.includes('landscape')) told.push(await followOpening(call, ['check-files']));
    return joined(told);
  },
};
