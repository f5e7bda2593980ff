import { createRepository, openRepository } from '../../repository/repository.ts';
import { writeJson } from '../../system/files.ts';
import { makePrivateFolder, pinSchema } from '../../system/home.ts';
import { refuseUnmounted } from '../../system/mounts.ts';
import { expectedRepository, openSettingsStorage, takeLockSoon } from '../job-context.ts';
import type { LandscapeContext } from './context.ts';

/** What a Landscape unit was joined to. */
export interface Joined {
  readonly id: string;
  readonly url: string;
  readonly created: boolean;
}

/**
 * Joins a Landscape unit to the repository, or creates it: only where no PostgreSQL unit does, whose user has to write there
 * too. With `join` the repository must exist. May be repeated.
 */
export async function joinRepository(context: LandscapeContext, { join }: { readonly join: boolean }): Promise<Joined> {
  const { settings, unit, clock } = context;
  if (settings.destination?.kind === 'directory') await refuseUnmounted(settings.destination.path);
  const storage = await openSettingsStorage(context);
  const lock = await takeLockSoon(unit, 'init', 'landscape-backup init-files');
  try {
    const expected = join ? settings.repository : await expectedRepository(context);
    const { repository, created } =
      join || expected !== undefined
        ? { repository: await openRepository(storage, expected, settings.encryption), created: false }
        : await createRepository(storage, clock.now(), settings.encryption);
    await makePrivateFolder(unit.path);
    await writeJson(unit.pin, pinSchema, { repositoryId: repository.record.id, url: storage.url });
    return { id: repository.record.id, url: storage.url, created };
  } finally {
    await lock.release();
    await storage.close();
  }
}
