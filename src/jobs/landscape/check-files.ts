import { failed, passed, type Check, type CheckReport } from '../../core/check-report.ts';
import { capturePaths } from '../../landscape/paths.ts';
import { needLandscapeUnit } from '../../landscape/unit.ts';
import { layout } from '../../repository/layout.ts';
import type { Repository } from '../../repository/repository.ts';
import type { Storage } from '../../storage/storage.ts';
import { refuseUnmounted } from '../../system/mounts.ts';
import { proveWriteOnce } from '../check-destination.ts';
import { proveEncryption } from '../check-encryption.ts';
import { checkSecond } from '../check-second.ts';
import { openSettingsRepository, openSettingsStorage } from '../job-context.ts';
import type { LandscapeContext } from './context.ts';

const checkNames = [
  'destination',
  'repository',
  'encryption',
  'write-once',
  'second destination',
  'landscape',
  'secrets',
] as const;
type CheckName = (typeof checkNames)[number];

/** Tries as root what keeping a Landscape unit's files needs. Faults are data: the walk goes on as far as it can. */
export async function checkFiles(context: LandscapeContext): Promise<CheckReport> {
  const checks: Check[] = [];
  const attempt = async <T>(name: CheckName, work: () => Promise<readonly [T, string]>): Promise<T | undefined> => {
    try {
      const [value, what] = await work();
      checks.push(passed(name, what));
      return value;
    } catch (error) {
      checks.push(failed(name, error));
      return undefined;
    }
  };
  const hasSecond = context.settings.second !== undefined;
  let storage: Storage | undefined;
  try {
    storage = await attempt('destination', async () => await reach(context));
    const repository = storage === undefined ? undefined : await openIn(context, storage, attempt);
    if (repository !== undefined) {
      const { model, application, unit } = context.identity;
      const probes = `${layout.fileSets(model, application, unit)}probes/`;
      const now = context.clock.now();
      await attempt('encryption', async () => [true, await proveEncryption(repository, probes, now)]);
      await attempt('write-once', async () => [true, await proveWriteOnce(repository, probes, now)]);
      if (hasSecond) await attempt('second destination', async () => [true, await checkSecond(context, probes)]);
    }
    await attempt('landscape', async () => await look(context));
    await attempt('secrets', async () => [
      true,
      repository?.keys.isEncrypted === true
        ? 'file sets hold service.conf, licence and keys, encrypted; names, sizes and SHA-256 of the files are readable'
        : 'file sets hold service.conf, licence and keys in clear: who can read the destination can read them',
    ]);
  } finally {
    await storage?.close();
  }
  const tried = new Set(checks.map(({ name }) => name));
  const wanted = checkNames.filter((name) => name !== 'second destination' || hasSecond);
  return { checks, notTried: wanted.filter((name) => !tried.has(name)) };
}

async function reach(context: LandscapeContext): Promise<readonly [Storage, string]> {
  const { settings } = context;
  if (settings.destination?.kind === 'directory') await refuseUnmounted(settings.destination.path);
  const storage = await openSettingsStorage(context);
  return [storage, `${storage.url} is there`];
}

async function openIn(
  context: LandscapeContext,
  storage: Storage,
  attempt: <T>(name: CheckName, work: () => Promise<readonly [T, string]>) => Promise<T | undefined>,
): Promise<Repository | undefined> {
  return await attempt('repository', async () => {
    const repository = await openSettingsRepository(context, storage);
    return [repository, `${repository.record.id}, the one that is expected`];
  });
}

async function look({ machine, settings }: LandscapeContext): Promise<readonly [true, string]> {
  const unit = await needLandscapeUnit(machine);
  const { paths } = await capturePaths(machine, unit, settings);
  return [true, `Landscape ${unit.version ?? 'of unknown version'}, ${unit.profile}; ${paths.length} paths are kept`];
}
