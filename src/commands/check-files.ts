import { checkReportSchema, reportExitCode, reportText } from '../core/check-report.ts';
import { checkFiles as walk } from '../jobs/landscape/check-files.ts';
import { landscapeContext } from './landscape-context.ts';
import type { Verb } from './program.ts';

/** `check-files`: proves that a Landscape unit's files can be kept. */
export const checkFiles: Verb = {
  name: 'check-files',
  as: 'root',
  summary: "prove that this Landscape unit's files can be kept at the destination",
  help: `Tries it as root, who keeps them: creates a probe object twice to see that the destination refuses to overwrite. The exit
code is that of the worst fault.`,
  run: async (root) => {
    const report = await walk(await landscapeContext(root));
    return { text: reportText(report), json: checkReportSchema.encode(report), exitCode: reportExitCode(report) };
  },
};
