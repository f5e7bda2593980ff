import { checkReportSchema, reportExitCode, reportText } from '../core/check-report.ts';
import { check as walk } from '../jobs/check.ts';
import { identityFileOption, withIdentityFile } from './identity-file.ts';
import type { Verb } from './program.ts';

/** `check`: walks the chain and makes its own evidence. */
export const check: Verb = {
  name: 'check',
  summary: 'prove the whole chain: settings, destination, archiving, a record read back',
  help: `Writes a record into the WAL, ends its segment, waits until it is stored and reads it back; creates a probe object
twice to see that the destination refuses to overwrite. In an encrypted repository a probe is encrypted as every object is, and
opened where the identity is at hand. The exit code is that of the worst fault.

  landscape-backup check --identity-file /media/usb/backup-key.txt`,
  options: [identityFileOption],
  run: async (context, options) => {
    const report = await walk(await withIdentityFile(context, options), { signal: context.signal });
    return { text: reportText(report), json: checkReportSchema.encode(report), exitCode: reportExitCode(report) };
  },
};
