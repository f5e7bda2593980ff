import { filesScope } from '../jobs/rewrap-plan.ts';
import { expectedRepository } from '../jobs/job-context.ts';
import { identityFileOption, withIdentityFile } from './identity-file.ts';
import { landscapeContext, withLandscapeRepository } from './landscape-context.ts';
import { textOption, type Verb } from './program.ts';
import { confirmRewrap, rewrapResult } from './rewrap.ts';

/** `rewrap-files`: the same as `rewrap` for a Landscape unit's files. */
export const rewrapFiles: Verb = {
  name: 'rewrap-files',
  as: 'root',
  summary: "print which of this Landscape unit's file sets are encrypted to others; --confirm encrypts them anew",
  help: `It needs the identity that opens what is there, for this run only. Files of other units are theirs to encrypt anew.

  landscape-backup rewrap-files --identity-file /media/usb/old-key.txt`,
  options: [identityFileOption, confirmRewrap],
  run: async (root, options) => {
    const context = await withIdentityFile(await landscapeContext(root), options);
    return await withLandscapeRepository(context, async (open) => {
      const repository = await open();
      const scope = filesScope(repository, await expectedRepository(context), context.identity);
      return await rewrapResult({ ...context, repository }, scope, textOption(options, 'confirm'), 'rewrap-files');
    });
  },
};
