import { Option } from 'commander';
import { Failure } from '../core/failure.ts';
import { formatBytes } from '../core/words.ts';
import { planCopy, runCopy, type CopyOutcome, type CopyPlan, type CopyRequest } from '../jobs/copy-repository.ts';
import { withRepository } from './context.ts';
import type { Result } from './output.ts';
import { textOption, type Verb } from './program.ts';

/** `copy-repository`: brings the whole repository to another destination. */
export const copyRepository: Verb = {
  name: 'copy-repository',
  summary: 'print what a copy of the repository to another destination takes; --confirm makes it',
  help: `Copies everything that the repository holds, whatever the kinds of both places, while archiving and backups go on. Each
object is proven on the way, and the copy can be used only when it is whole. It may be killed and run again.

To move to another destination: copy, set the option destination, then bring what was archived in between.

  landscape-backup copy-repository --to=/srv/new
  landscape-backup copy-repository --to=/srv/new --confirm=<plan id>
  landscape-backup copy-repository --from=/srv/backup     after the change of the option destination`,
  options: [
    new Option('--to <url>', 'the place of the copy: empty, or a copy of this repository'),
    new Option('--from <url>', 'the other place, whose objects the destination lacks'),
    new Option('--confirm <plan id>', 'make the copy that the plan with this id describes'),
  ],
  run: async (context, options) => {
    const [request, confirm] = [requestOf(options), textOption(options, 'confirm')];
    return await withRepository(context, async (repository) => {
      const site = { ...context, repository };
      if (confirm === undefined) {
        const plan = await planCopy(site, request);
        return { text: describe(plan, request), json: { plan } };
      }
      return outcome(await runCopy(site, request, confirm), request);
    });
  },
};

function requestOf(options: Readonly<Record<string, unknown>>): CopyRequest {
  const [to, from] = [textOption(options, 'to'), textOption(options, 'from')];
  if (to !== undefined && from === undefined) return { direction: 'to', place: to };
  if (from !== undefined && to === undefined) return { direction: 'from', place: from };
  throw new Failure('usage', 'a copy needs one of the options --to and --from', {
    hint: 'landscape-backup copy-repository --to=/srv/new prints what it takes.',
  });
}

/** Exit code 4, as any refusal: what was confirmed is not what would be copied now. */
function outcome(result: CopyOutcome, request: CopyRequest): Result {
  const { plan } = result;
  if (result.is === 'changed') {
    const text = `nothing was copied: the confirmed plan is another one\n\n${describe(plan, request)}`;
    return { text, json: { changed: true, plan }, exitCode: 4 };
  }
  const { storedObjects, storedBytes, readBack, isNew } = result.copied;
  const lines = [
    `the repository ${plan.repositoryId} at ${plan.from} is whole at ${plan.to}`,
    `  ${storedObjects} objects were stored, ${formatBytes(storedBytes)}${isNew ? `; ${readBack} were read back and are what they must be` : ''}`,
  ];
  if (request.direction === 'to') {
    lines.push(
      '  To move there: set the option destination, then bring what is archived until then:',
      `  landscape-backup copy-repository --from=${plan.from}`,
    );
  }
  return { text: lines.join('\n'), json: { copied: result.copied, plan } };
}

const states = {
  empty: 'it is empty',
  begun: 'a copy of this repository was begun there',
  whole: 'it is whole there already, but for what is newer',
} as const;

function describe(plan: CopyPlan, { direction, place }: CopyRequest): string {
  const room = plan.freeBytes === undefined ? '' : `, ${formatBytes(plan.freeBytes)} are free`;
  return [
    `copy the repository ${plan.repositoryId}`,
    `  from ${plan.from}: ${plan.objects} objects, ${formatBytes(plan.bytes)}`,
    `  to   ${plan.to}: ${states[plan.state]}${room}`,
    `  ${plan.missingObjects} objects are missing there, ${formatBytes(plan.missingBytes)}`,
    'nothing has been copied yet. To copy:',
    `  landscape-backup copy-repository --${direction}=${place} --confirm=${plan.id}`,
  ].join('\n');
}
