import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { keptCopySchema } from '../core/kept-copy.ts';
import type { Repository } from '../repository/repository.ts';
import { readJson, writeJson } from '../system/files.ts';
import { makePrivateFolder, type UnitFolder } from '../system/home.ts';
import { readStanding } from './configure.ts';
import type { JobContext } from './job-context.ts';

function fileOf(unit: UnitFolder): string {
  return join(unit.path, 'copy.json');
}

/** Notes that this cluster shall stay a copy, so that its status no longer asks for a decision. */
export async function keepCopy(context: JobContext, repository: Repository): Promise<void> {
  const { standing, systemIdentifier } = await readStanding(context, repository);
  if (standing.is !== 'copy') {
    throw new Failure('refused', `the cluster ${context.cluster.label} is not a copy`, {
      hint: 'landscape-backup status says what it is.',
    });
  }
  await makePrivateFolder(context.unit.path);
  await writeJson(fileOf(context.unit), keptCopySchema, { format: 1, systemIdentifier, at: context.clock.now() });
}

/** Tells whether a person decided that the cluster with this identifier stays a copy. */
export async function isKeptCopy(unit: UnitFolder, systemIdentifier: string): Promise<boolean> {
  return (await readJson(fileOf(unit), keptCopySchema))?.systemIdentifier === systemIdentifier;
}
