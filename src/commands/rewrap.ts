import { Option } from 'commander';
import { formatBytes } from '../core/words.ts';
import { ownScope, type RewrapCount, type RewrapPlan, type RewrapScope } from '../jobs/rewrap-plan.ts';
import { planRewrap, runRewrap, type RewrapContext, type Rewrapped } from '../jobs/rewrap.ts';
import { withRepository } from './context.ts';
import { identityFileOption, withIdentityFile } from './identity-file.ts';
import type { Result } from './output.ts';
import { textOption, type Verb } from './program.ts';

/** The option that both verbs have beside the identity. */
export const confirmRewrap = new Option('--confirm <plan id>', 'do what the plan with this id says');

/** `rewrap`: brings what is stored to the recipients of now. */
export const rewrap: Verb = {
  name: 'rewrap',
  summary: 'print what is encrypted to other recipients than now; --confirm encrypts it anew',
  help: `After a change of encryption-recipients only what is stored from then on is for the new ones. This makes the rest theirs:
WAL, base backups and configuration files of this cluster's own lines. Each new object is read back before the one that it
replaces is removed. Archiving, backups and restores go on meanwhile; it may be killed and run again.

It needs the identity that opens what is there, for this run only; where it was half done, both, one below the other.

  landscape-backup rewrap --identity-file /media/usb/old-key.txt
  landscape-backup rewrap --identity-file /media/usb/old-key.txt --confirm=<plan id>`,
  options: [identityFileOption, confirmRewrap],
  run: async (given, options) => {
    const context = await withIdentityFile(given, options);
    return await withRepository(context, async (repository) => {
      const scope = await ownScope(context.unit, repository, context.identity);
      return await rewrapResult({ ...context, repository }, scope, textOption(options, 'confirm'), 'rewrap');
    });
  },
};

/** Plans, or does what was confirmed, and says it. Exit code 4, as any refusal, where that is another plan now. */
export async function rewrapResult(
  context: RewrapContext,
  scope: RewrapScope,
  confirm: string | undefined,
  verb: string,
): Promise<Result> {
  if (confirm === undefined) {
    const plan = await planRewrap(context, scope);
    return { text: describe(plan, verb), json: { plan } };
  }
  const outcome = await runRewrap(context, scope, confirm);
  const { plan } = outcome;
  if (outcome.is === 'changed') {
    const text = `nothing was changed: the confirmed plan is another one\n\n${describe(plan, verb)}`;
    return { text, json: { changed: true, plan }, exitCode: 4 };
  }
  return { text: done(plan, outcome.rewrapped, verb), json: { rewrapped: outcome.rewrapped, plan } };
}

function done(plan: RewrapPlan, { renewed, storedBytes, swept, left }: Rewrapped, verb: string): string {
  const lines = [
    `what this unit keeps is encrypted to ${names(plan)}`,
    `  ${renewed} times something was encrypted anew, ${formatBytes(storedBytes)}; ${swept} old objects were removed`,
  ];
  if (left > 0) {
    lines.push(`  ${left} old objects of backups stay, for a job is reading them. When it has ended:`);
    lines.push(`  landscape-backup ${verb}`);
  }
  return lines.join('\n');
}

function describe(plan: RewrapPlan, verb: string): string {
  const { backups, wal, fileSets, leftovers, damaged } = plan;
  const isEmpty = backups.objects + wal.objects + fileSets.objects + leftovers === 0;
  const lines = [`encrypt to ${names(plan)} what is for others:`];
  const count = (what: string, { objects, bytes }: RewrapCount) =>
    lines.push(`  ${what}: ${objects} objects, ${formatBytes(bytes)}`);
  count('base backups, what their age files begin with', backups);
  count('WAL', wal);
  count('configuration files', fileSets);
  if (leftovers > 0) lines.push(`  ${leftovers} objects were replaced before, and lie there still: they are removed`);
  for (const each of damaged) lines.push(`  ATTENTION: this stays as it is: ${each}`);
  lines.push(
    ...(isEmpty
      ? ['there is nothing to do']
      : [
          'nothing has been changed yet. To do it, with --identity-file=<file> again:',
          `  landscape-backup ${verb} --confirm=${plan.id}`,
        ]),
  );
  return lines.join('\n');
}

function names({ recipients }: RewrapPlan): string {
  return recipients.map((each) => `age1…${each}`).join(', ');
}
