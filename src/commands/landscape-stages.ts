import { abandonFiles as abandon } from '../jobs/landscape/abandon-files.ts';
import { checkLandscape, type LandscapeChecked } from '../jobs/landscape/check.ts';
import { quiesce as bringToRest } from '../jobs/landscape/quiesce.ts';
import type { FilesReport } from '../jobs/landscape/restore-files.ts';
import { resume as goOn, type Resumed } from '../jobs/landscape/resume.ts';
import { verifyFiles as compare } from '../jobs/landscape/verify-files.ts';
import { identityFileOption, withIdentityFile } from './identity-file.ts';
import { landscapeContext, planOf, planOption, withLandscapeRepository } from './landscape-context.ts';
import type { Verb } from './program.ts';

const mayRepeat = 'It may be repeated, and may be killed at any instant.';

/** `landscape-check`: proves that a plan can be done on this unit. */
export const landscapeCheck: Verb = {
  name: 'landscape-check',
  as: 'root',
  summary: 'stage of a restore: prove that it can be done on this Landscape unit',
  help: `Fetches and proves the plan's files, keeps them in root's own folder, and changes nothing else. ${mayRepeat}`,
  options: [planOption, identityFileOption],
  run: async (root, options) => {
    const context = await withIdentityFile(await landscapeContext(root), options);
    const plan = await planOf(context, options);
    const found = await withLandscapeRepository(context, async (open) => await checkLandscape(context, plan, open), {
      isReading: true,
    });
    return { text: checkedText(found), json: { landscapeCheck: found } };
  },
};

/** What a check found, for a person. */
export function checkedText(found: LandscapeChecked): string {
  const running = found.running.length === 0 ? 'nothing of Landscape runs' : `runs now: ${found.running.join(', ')}`;
  return [`this unit is ${found.profile}; ${found.files} files come back; ${running}`, ...reportLines(found)].join(
    '\n',
  );
}

/** Whose word counts where, and what is left to the operator. */
export function reportLines({ decisions, operator, notes }: FilesReport): readonly string[] {
  const from = { spare: "stays the spare's", production: "production's", operator: 'left to the operator' };
  return [
    ...decisions.map((decision) => `  ${decision.name}: ${from[decision.from]} (${decision.why})`),
    ...(operator.length === 0
      ? []
      : ['only you can do this, when the restore is done:', ...operator.map((each) => `  ${each}`)]),
    ...notes.map((note) => `note: ${note}`),
  ];
}

/** `quiesce`: brings Landscape to rest and fences it. */
export const quiesce: Verb = {
  name: 'quiesce',
  as: 'root',
  summary: 'stage of a restore: bring Landscape to rest on this unit, and fence it',
  help: `On a charmed unit "juju run landscape-server/<n> pause" comes first. From here on nobody can start Landscape, not even
a reboot or its charm, until resume or abandon-files. ${mayRepeat}`,
  options: [planOption],
  run: async (root, options) => {
    const context = await landscapeContext(root);
    const { fenced, stopped } = await bringToRest(context, await planOf(context, options));
    const text = `stopped: ${stopped.join(', ') || 'nothing'}; fenced: ${fenced.join(', ') || 'nothing'}`;
    return { text, json: { quiesced: { fenced, stopped } } };
  },
};

/** `verify-files`: compares what lies on disk with what the plan wanted. */
export const verifyFiles: Verb = {
  name: 'verify-files',
  as: 'root',
  summary: 'stage of a restore: prove that the files are what the plan wanted',
  help: `Names, contents, modes, owners, links, and that service.conf points to no machine of production. ${mayRepeat}`,
  options: [planOption],
  run: async (root, options) => {
    const context = await landscapeContext(root);
    const found = await compare(context, await planOf(context, options));
    return { text: `${found.files} files are what the plan wanted`, json: { verifiedFiles: found } };
  },
};

/** `resume`: ends a restore on this unit. */
export const resume: Verb = {
  name: 'resume',
  as: 'root',
  summary: 'stage of a restore: take the fence away and start Landscape',
  help: `Throws the hash-id databases away and has them made again; that may take half an hour, and a failure is told and not
fatal. On a charmed unit "juju run landscape-server/<n> resume" comes after it. ${mayRepeat}`,
  options: [planOption],
  run: async (root, options) => {
    const context = await landscapeContext(root);
    const resumed = await goOn(context, await planOf(context, options));
    return { text: resumedText(resumed), json: { resumed } };
  },
};

/** How a unit is after a restore, for a person. */
export function resumedText({ services, hashIds, notes }: Resumed): string {
  const lines = ['the fence is gone', ...services.map(({ unit, state }) => `  ${unit} ${state}`)];
  if (hashIds?.is === 'made') lines.push('the hash-id databases were made again');
  return [...lines, ...notes.map((note) => `note: ${note}`)].join('\n');
}

/** `abandon-files`: undoes a restore on this unit. */
export const abandonFiles: Verb = {
  name: 'abandon-files',
  as: 'root',
  summary: 'undo a restore on this Landscape unit: put back its files, take the fence away',
  help: `Every file is what it was before, or is not there as it was not before. No destination is needed. ${mayRepeat}`,
  options: [planOption],
  run: async (root, options) => {
    const context = await landscapeContext(root);
    const done = await abandon(context, await planOf(context, options));
    const lines = [
      `${done.files} files are what they were before`,
      ...done.services.map(({ unit, state }) => `  ${unit} ${state}`),
    ];
    return {
      text: [...lines, ...done.notes.map((note) => `note: ${note}`)].join('\n'),
      json: { abandonedFiles: done },
    };
  },
};
