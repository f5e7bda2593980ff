import { formatBytes } from '../core/words.ts';
import type { FileSet } from '../core/record.ts';
import { listFiles as list } from '../jobs/landscape/list-files.ts';
import { landscapeContext, withLandscapeRepository } from './landscape-context.ts';
import type { Verb } from './program.ts';

/** `list-files`: all file sets in the repository. */
export const listFiles: Verb = {
  name: 'list-files',
  as: 'root',
  summary: 'list the file sets of all units in the repository',
  help: `Reads the repository and nothing else. A spare restores another unit's set with
  landscape-backup restore-files --from <model>/<unit>`,
  run: async (root) => {
    const context = await landscapeContext(root);
    const { units, unreadable } = await withLandscapeRepository(context, async (open) => await list(await open()), {
      isReading: true,
    });
    const lines = units.flatMap(({ model, unit, application, sets }) => [
      `${called(sets) ?? `${model}/${unit}`} (${application})`,
      ...sets.map((set) => `  ${line(set)}`),
    ]);
    if (lines.length === 0) lines.push('there are no file sets yet: landscape-backup backup-files');
    for (const key of unreadable) lines.push(`ATTENTION: ${key} can't be read`);
    const json = units.map(({ sets, ...unit }) => ({ ...unit, sets: sets.map(toJson) }));
    return { text: lines.join('\n'), json: { units: json, unreadable } };
  },
};

/** As `files-from` takes it: the model's name and the unit that the files are of. */
function called(sets: readonly FileSet[]): string | undefined {
  const known = sets.find(({ landscape }) => landscape?.called !== undefined)?.landscape?.called;
  return known === undefined || known.principal === null ? undefined : `${known.model}/${known.principal}`;
}

function line({ id, takenAt, files, landscape }: FileSet): string {
  const version = landscape?.version;
  const what = landscape === undefined ? 'PostgreSQL' : `${landscape.profile}${version === null ? '' : ` ${version}`}`;
  return `${id}  ${takenAt.toISOString()}  ${files.length} files, ${formatBytes(size(files))}  ${what}`;
}

function toJson({ id, takenAt, digest, files, missing, landscape }: FileSet) {
  const facts = { files: files.length, bytes: size(files), missing, landscape: landscape ?? null };
  return { id, takenAt: takenAt.toISOString(), digest, ...facts };
}

function size(files: FileSet['files']): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
