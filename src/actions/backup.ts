import { jujuRun } from '../core/juju-words.ts';
import { addresseeOf, databaseUnits, followJob, joined, optionsOf, type Action, type ActionCall } from './action.ts';

/** `backup`: the database, where this unit has it, and this unit's files. */
export const backup: Action = {
  name: 'backup',
  run: async (call) => {
    const { snapshot, params } = call;
    const done = [];
    if (snapshot.roles.includes('postgresql') && params['files-only'] !== true)
      done.push(await followJob(call, ['backup', ...optionsOf(params, 'label')]));
    if (snapshot.roles.includes('landscape')) done.push(await followJob(call, ['backup-files']));
    const all = joined(done);
    return { ...all, text: [all.text, ...elsewhere(call)].join('\n') };
  },
};

/** Whoever backs up a unit without the database shall not think that he has the database. */
function elsewhere({ snapshot, params }: ActionCall): readonly string[] {
  if (snapshot.roles.includes('postgresql')) {
    return params['files-only'] === true && !snapshot.roles.includes('landscape')
      ? ['the files of a PostgreSQL unit are kept with each backup of its database: nothing was done']
      : [];
  }
  const [there] = databaseUnits(snapshot);
  if (there === undefined) return ['the database is not here, and no unit is related to it: it is NOT backed up'];
  return [`the database is not here: ${jujuRun({ ...addresseeOf(snapshot), unit: there }, 'backup')}`];
}
