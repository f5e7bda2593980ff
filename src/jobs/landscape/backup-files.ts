import { Failure } from '../../core/failure.ts';
import { readDatabases } from '../../core/landscape-endpoints.ts';
import { isOurs } from '../../core/landscape-profile.ts';
import type { FileSet, LandscapeFacts } from '../../core/record.ts';
import { readFence } from '../../landscape/fence.ts';
import { capturePaths } from '../../landscape/paths.ts';
import { needLandscapeUnit, type LandscapeUnit } from '../../landscape/unit.ts';
import type { Repository } from '../../repository/repository.ts';
import { writeJson } from '../../system/files.ts';
import { makePrivateFolder, pinSchema } from '../../system/home.ts';
import { captureFileSet } from '../file-set.ts';
import { expectedRepository, takeLockSoon } from '../job-context.ts';
import { atUploadLimit } from '../upload-limit.ts';
import type { LandscapeContext } from './context.ts';
import { writeFilesFailed, writeFilesKept } from './files-state.ts';

/** What a run has kept. */
export interface KeptFiles {
  readonly set: FileSet;
  /** Something has changed since the last set, which is why this one was stored. */
  readonly isNew: boolean;
  /** Paths without which Landscape can't be brought back, and which are not there. */
  readonly missingRequired: readonly string[];
}

/**
 * Keeps the files of this Landscape unit as they are now; a set is stored only when something has changed. How it went is
 * remembered on the unit.
 */
export async function backupFiles(
  context: LandscapeContext,
  openRepository: () => Promise<Repository>,
  { join }: { readonly join: boolean },
): Promise<KeptFiles> {
  await refuseFenced(context);
  const lock = await takeLockSoon(context.unit, 'files', "keeping this unit's files");
  try {
    const kept = await keep(context, await openRepository(), join);
    const { id, takenAt, files } = kept.set;
    await writeFilesKept(context, { id, takenAt, count: files.length, missing: [...kept.missingRequired] });
    return kept;
  } catch (error) {
    await writeFilesFailed(context, error);
    throw error;
  } finally {
    await lock.release();
  }
}

async function keep(context: LandscapeContext, repository: Repository, join: boolean): Promise<KeptFiles> {
  const { machine, settings, identity, clock, progress } = context;
  await provePinned(context, repository, join);
  const unit = await needLandscapeUnit(machine);
  const { paths, required } = await capturePaths(machine, unit, settings);
  const { set, isNew } = await captureFileSet({
    repository: atUploadLimit(repository, settings),
    identity,
    paths,
    root: machine.root,
    isOurs: (path) => isOurs(path),
    limitBytes: Infinity,
    level: settings.compressionLevel,
    progress,
    now: clock.now(),
    landscape: { ...factsOf(unit), ...(context.called === null ? {} : { called: context.called }) },
  });
  return { set, isNew, missingRequired: set.missing.filter((path) => required.includes(path)) };
}

function factsOf({ profile, version, serviceConfiguration }: LandscapeUnit): LandscapeFacts {
  return {
    profile,
    version,
    databases: [...readDatabases(serviceConfiguration.parsed)],
    serviceConfiguration: serviceConfiguration.path,
  };
}

/** Half of what lies there may be another unit's. */
async function refuseFenced({ unit }: LandscapeContext): Promise<void> {
  const fence = await readFence({ folder: unit.path });
  if (fence === undefined) return;
  throw new Failure(
    'refused',
    `the restore of plan ${fence.planId} is under way on this unit: its files are not kept now`,
    {
      hint: `They are kept again after landscape-backup resume --plan ${fence.planId}, or abandon-files.`,
    },
  );
}

/** A directory that merely looks like a repository is not written to: which one it is must have been said. */
async function provePinned(context: LandscapeContext, repository: Repository, join: boolean): Promise<void> {
  const { unit } = context;
  if ((await expectedRepository(context)) !== undefined) return;
  const { url } = repository.storage;
  const { id } = repository.record;
  if (!join) {
    throw new Failure('refused', `this unit has not been told to use the repository ${id} at ${url}`, {
      hint: 'If it is the right one: landscape-backup backup-files --join. With Juju the charm does that.',
    });
  }
  await makePrivateFolder(unit.path);
  await writeJson(unit.pin, pinSchema, { repositoryId: id, url });
}
