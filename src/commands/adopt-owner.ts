import { Option } from 'commander';
import { adoptOwner as adopt } from '../jobs/adopt-owner.ts';
import { Failure } from '../core/failure.ts';
import { numberOption, textOption, type Verb } from './program.ts';

/** `adopt-owner`: lets a standby go on as the owner that it follows. */
export const adoptOwner: Verb = {
  name: 'adopt-owner',
  summary: 'let a standby go on as the same owner when it is promoted',
  help: `The charm calls it on the standbys of an application, with what the primary's unit says of itself. Refused for another
cluster, for a unit that is another owner, and for a cluster that is no standby.`,
  options: [
    new Option('--owner-id <id>', "the owner's id").makeOptionMandatory(),
    new Option('--system-identifier <number>', 'of the cluster that it owns').makeOptionMandatory(),
    new Option('--incarnation <number>', 'the one that it writes').makeOptionMandatory(),
  ],
  run: async (context, options) => {
    const ownerId = textOption(options, 'ownerId') ?? '';
    const systemIdentifier = textOption(options, 'systemIdentifier') ?? '';
    const incarnation = numberOption(options, 'incarnation', '--incarnation') ?? 0;
    if (!/^[0-9a-f]{32}$/.test(ownerId)) {
      throw new Failure('usage', `option --owner-id is "${ownerId}", it must be 32 hexadecimal digits`);
    }
    const changed = await adopt(context, { ownerId, systemIdentifier, incarnation });
    const text = `cluster ${context.cluster.label} goes on as the owner of incarnation ${incarnation} when it is promoted`;
    return { text, json: { adopted: { incarnation, changed } } };
  },
};
