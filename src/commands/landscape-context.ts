import { Option } from 'commander';
import { Failure } from '../core/failure.ts';
import type { LandscapePlan } from '../core/landscape-restore.ts';
import { readLandscapePlan, type LandscapeContext } from '../jobs/landscape/context.ts';
import { openReadable, openSettingsRepository, openSettingsStorage } from '../jobs/job-context.ts';
import type { Repository } from '../repository/repository.ts';
import type { Storage } from '../storage/storage.ts';
import { readSettings, unitFolder } from '../system/home.ts';
import { readIdentity } from '../system/identity.ts';
import { readUnitIdentity } from '../system/unit-identity.ts';
import type { RootContext } from './context.ts';
import { textOption } from './program.ts';

/** The name of a home's Landscape unit without Juju. */
const unitName = 'landscape';

/** Reads the settings and says who this Landscape unit is. */
export async function landscapeContext({ home, clock, signal, progress }: RootContext): Promise<LandscapeContext> {
  const known = await readUnitIdentity(home);
  return {
    home,
    settings: await readSettings(home),
    unit: unitFolder(home, unitName),
    identity: await readIdentity(home, unitName),
    principal: known?.principal ?? null,
    called: known === undefined ? null : { model: known.model.name, principal: known.principal },
    jujuVersion: known?.jujuVersion ?? null,
    machine: { root: '/' },
    clock,
    signal,
    progress,
  };
}

/**
 * Works with the repository, which is opened when it is first asked for: stages that have what they need go on while the
 * destination can't be reached. Another one than the one that is expected is a `conflict`. Who only reads is given the second
 * destination where the first can't be had.
 */
export async function withLandscapeRepository<T>(
  context: LandscapeContext,
  work: (open: () => Promise<Repository>) => Promise<T>,
  { isReading = false }: { readonly isReading?: boolean } = {},
): Promise<T> {
  let storage: Storage | undefined;
  try {
    return await work(async () => {
      storage ??= isReading ? await openReadable(context) : await openSettingsStorage(context);
      return await openSettingsRepository(context, storage);
    });
  } finally {
    await storage?.close();
  }
}

/** Every stage verb is told which plan it is at. */
export const planOption = new Option('--plan <id>', "the restore's plan");

/** The plan that a stage verb was told. Fails with `usage` when it was told none. */
export async function planOf(
  context: LandscapeContext,
  options: Readonly<Record<string, unknown>>,
): Promise<LandscapePlan> {
  const id = textOption(options, 'plan');
  if (id === undefined) {
    throw new Failure('usage', 'option --plan is missing', {
      hint: 'The plan that the restore printed; without Juju: landscape-backup restore-files --from <model>/<unit>',
    });
  }
  return await readLandscapePlan(context, id);
}
