import { Option } from 'commander';
import { isSecret } from '../core/landscape-profile.ts';
import { fileSetSchema } from '../core/record.ts';
import { formatBytes } from '../core/words.ts';
import { backupFiles as keep, type KeptFiles } from '../jobs/landscape/backup-files.ts';
import { landscapeContext, withLandscapeRepository } from './landscape-context.ts';
import { flag, type Verb } from './program.ts';

/** `backup-files`: keeps a Landscape unit's files. */
export const backupFiles: Verb = {
  name: 'backup-files',
  as: 'root',
  summary: "keep this Landscape unit's configuration files now",
  help: `A set is stored only when something has changed since the last one. Which files belong to it depends on how Landscape
was installed; the options include-logs and extra-paths add to them. What is missing is told and no failure.

  landscape-backup backup-files
  landscape-backup list-files                  all units' sets`,
  options: [new Option('--join', 'use the repository that is there, where none was named yet')],
  run: async (root, options) => {
    const context = await landscapeContext(root);
    const kept = await withLandscapeRepository(
      context,
      async (open) => await keep(context, open, { join: flag(options, 'join') }),
    );
    const { files, missing, ...told } = fileSetSchema.encode(kept.set);
    const { isNew, missingRequired } = kept;
    const facts = {
      files: files.length,
      secretFiles: secretsOf(kept),
      bytes: bytesOf(kept),
      isNew,
      missing,
      missingRequired,
    };
    return { text: describe(kept), json: { fileSet: { ...told, ...facts } } };
  },
};

function bytesOf({ set }: KeptFiles): number {
  return set.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function secretsOf({ set }: KeptFiles): number {
  return set.files.filter(({ path, kind }) => kind === 'file' && isSecret(path)).length;
}

function describe(kept: KeptFiles): string {
  const { set, isNew, missingRequired } = kept;
  const what = `${set.files.length} files, ${formatBytes(bytesOf(kept))}, of a ${set.landscape?.profile ?? 'Landscape'} unit`;
  const lines = [
    isNew
      ? `file set ${set.id} is stored: ${what}`
      : `nothing has changed since the file set ${set.id} of ${set.takenAt.toISOString()}: ${what}`,
  ];
  lines.push(`  ${secretsOf(kept)} of them hold secrets, in clear: who can read the destination can read them`);
  for (const path of missingRequired) lines.push(`  ATTENTION: ${path} is not there, or can't be read`);
  const others = set.missing.filter((path) => !missingRequired.includes(path));
  if (others.length > 0) lines.push(`  not there: ${others.join(', ')}`);
  return lines.join('\n');
}
