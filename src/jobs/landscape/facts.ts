import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, toFailure } from '../../core/failure.ts';
import { readDatabases, readEndpoints, type Endpoints } from '../../core/landscape-endpoints.ts';
import { maintenanceFile, type LandscapeProfile } from '../../core/landscape-profile.ts';
import type { FileSet } from '../../core/record.ts';
import { readFence } from '../../landscape/fence.ts';
import { readServices, type Service } from '../../landscape/services.ts';
import { readLandscapeUnit } from '../../landscape/unit.ts';
import { listFileSets } from '../../repository/file-sets.ts';
import type { Repository } from '../../repository/repository.ts';
import { errorCode, readText } from '../../system/files.ts';
import { endpointsDigest, type LandscapeContext } from './context.ts';

/** What a Landscape unit tells of itself. No secret: it travels in databags. */
export interface LandscapeUnitFacts {
  readonly profile: LandscapeProfile | 'none';
  readonly version: string | null;
  readonly databases: readonly string[];
  readonly endpoints: Endpoints | null;
  readonly endpointsDigest: string | null;
  readonly services: readonly Pick<Service, 'unit' | 'state'>[];
  /** Nothing of Landscape runs. */
  readonly paused: boolean;
  /** Landscape's own flag that stops its cron jobs. */
  readonly maintenance: boolean;
  /** The plan of the restore for which this unit is fenced. */
  readonly fenced: string | null;
  /** Free bytes where files come back, and where previous ones are kept. */
  readonly room: Readonly<Record<string, number>>;
  readonly newestFileSet: Pick<FileSet, 'id' | 'takenAt'> | null;
  /** What could not be told, one sentence each. */
  readonly faults: readonly string[];
}

/** Asks the machine, and the repository where it can be opened. Never fails for what only one answer needs. */
export async function landscapeFacts(
  context: LandscapeContext,
  openRepository: () => Promise<Repository>,
): Promise<LandscapeUnitFacts> {
  const faults: string[] = [];
  const attempt = async <T>(ask: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await ask();
    } catch (error) {
      faults.push(toFailure(error).message);
      return otherwise;
    }
  };
  const { machine, unit: folder } = context;
  const unit = await attempt(async () => await readLandscapeUnit(machine), undefined);
  const configuration = unit?.serviceConfiguration.parsed;
  const services = await attempt(readServices, undefined);
  return {
    profile: unit?.profile ?? 'none',
    version: unit?.version ?? null,
    databases: configuration === undefined ? [] : readDatabases(configuration),
    endpoints: configuration === undefined ? null : readEndpoints(configuration),
    endpointsDigest: configuration === undefined ? null : endpointsDigest(configuration),
    services: (services ?? []).map(({ unit: name, state }) => ({ unit: name, state })),
    paused: services !== undefined && services.every(({ isRunning }) => !isRunning),
    maintenance: (await readText(join(machine.root, maintenanceFile))) !== undefined,
    fenced: (await attempt(async () => await readFence({ folder: folder.path }), undefined))?.planId ?? null,
    room: await freeRoom(context),
    newestFileSet: await attempt(async () => await newestSet(context, await openRepository()), null),
    faults,
  };
}

async function newestSet(context: LandscapeContext, repository: Repository) {
  const sets = await listFileSets(repository, context.identity);
  const newest = sets.reduce<FileSet | undefined>(
    (found, set) => (found === undefined || set.takenAt > found.takenAt ? set : found),
    undefined,
  );
  return newest === undefined ? null : { id: newest.id, takenAt: newest.takenAt };
}

/** Free bytes by place. A place that is not there has no room of its own. */
async function freeRoom({
  machine,
  home,
}: Pick<LandscapeContext, 'machine' | 'home'>): Promise<Readonly<Record<string, number>>> {
  const room: Record<string, number> = {};
  const places = { '/etc': join(machine.root, '/etc'), '/var/lib': join(machine.root, '/var/lib'), home };
  for (const [name, path] of Object.entries(places)) {
    try {
      const { bavail, bsize } = await statfs(path);
      room[name] = bavail * bsize;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
  return room;
}

/** Fails where the bytes of a file set have no room: staged, kept aside, and in place. */
export async function refuseNoRoom(context: LandscapeContext, bytes: number): Promise<void> {
  for (const [place, free] of Object.entries(await freeRoom(context))) {
    const needed = place === 'home' ? 2 * bytes + spareBytes : bytes + spareBytes;
    if (free >= needed) continue;
    const path = place === 'home' ? context.home : place;
    throw new Failure('refused', `there is no room at ${path}: ${needed} bytes are needed, ${free} are free`, {
      hint: `Make room at ${path}, then try again.`,
    });
  }
}

const spareBytes = 16 * 1024 * 1024;
