import { checkReportSchema, reportExitCode, reportText } from '../core/check-report.ts';
import { checkFiles as walk } from '../jobs/landscape/check-files.ts';
import { identityFileOption, withIdentityFile } from './identity-file.ts';
import { landscapeContext } from './landscape-context.ts';
import type { Verb } from './program.ts';

/** `check-files`: proves that a Landscape unit's files can be kept. */
export const checkFiles: Verb = {
  name: 'check-files',
  as: 'root',
  summary: "prove that this Landscape unit's files can be kept at the destination",
  help: `Tries it as root, who keeps them: creates a probe object twice to see that the destination refuses to overwrite. In an
encrypted repository a probe is encrypted as every object is, and opened where the identity is at hand. The exit
code is that of the worst fault.`,
  options: [identityFileOption],
  run: async (root, options) => {
    const report = await walk(await withIdentityFile(await landscapeContext(root), options));
    return { text: reportText(report), json: checkReportSchema.encode(report), exitCode: reportExitCode(report) };
  },
};
