import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, toFailure } from '../../core/failure.ts';
import type { FilesState } from '../../core/files-state.ts';
import { readDatabases, readEndpoints } from '../../core/landscape-endpoints.ts';
import type { LandscapeUnitFacts } from '../../core/landscape-facts.ts';
import { maintenanceFile } from '../../core/landscape-profile.ts';
import { aboutSecondOfFiles } from '../../core/second-findings.ts';
import { readFence } from '../../landscape/fence.ts';
import { readServices, type Service } from '../../landscape/services.ts';
import { readLandscapeUnit, type LandscapeUnit } from '../../landscape/unit.ts';
import { errorCode, readText } from '../../system/files.ts';
import { readSecondFact } from '../second-facts.ts';
import { endpointsDigest, type LandscapeContext } from './context.ts';
import { readFilesState } from './files-state.ts';

/** What a Landscape unit tells of itself. No secret: the charm publishes it. */
export interface LandscapeReport extends LandscapeUnitFacts {
  readonly landscape: {
    readonly databases: readonly string[];
    readonly services: readonly Pick<Service, 'unit' | 'state'>[];
    /** Landscape's own flag that stops its cron jobs. */
    readonly maintenance: boolean;
    /** The plan of the restore for which this unit is fenced. */
    readonly fencedFor: string | null;
    /** Free bytes where files come back, and where previous ones are kept. */
    readonly room: Readonly<Record<string, number>>;
    readonly newestFileSet: { readonly id: string; readonly takenAt: Date } | null;
    /** What could not be told, one sentence each. */
    readonly faults: readonly string[];
  };
}

/** Asks the machine, and never the destination. What can't be told keeps nothing else from being told. */
export async function landscapeFacts(context: LandscapeContext): Promise<LandscapeReport> {
  const faults: Failure[] = [];
  const attempt = async <T>(ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask();
    } catch (error) {
      faults.push(toFailure(error));
      return undefined;
    }
  };
  const { machine, unit: folder } = context;
  const unit = await attempt(async () => await readLandscapeUnit(machine));
  const services = await attempt(readServices);
  const fence = await attempt(async () => await readFence({ folder: folder.path }));
  const state = await attempt(async () => await readFilesState(context));
  const second = aboutSecondOfFiles(await attempt(async () => await readSecondFact(context)), context.clock.now()).map(
    (each) => ({ ...each, next: each.next ?? null }),
  );
  return {
    published: unit === undefined ? null : published(unit, services, fence !== undefined),
    files: { ...filesStatus(fence !== undefined, state, faults[0]), second },
    landscape: {
      databases: unit === undefined ? [] : readDatabases(unit.serviceConfiguration.parsed),
      services: (services ?? []).map(({ unit: name, state: how }) => ({ unit: name, state: how })),
      maintenance: (await readText(join(machine.root, maintenanceFile))) !== undefined,
      fencedFor: fence?.planId ?? null,
      room: await freeRoom(context),
      newestFileSet:
        state?.kept === undefined || state.kept === null ? null : { id: state.kept.id, takenAt: state.kept.takenAt },
      faults: faults.map(({ message }) => message),
    },
  };
}

function published(
  unit: LandscapeUnit,
  services: readonly Service[] | undefined,
  fenced: boolean,
): NonNullable<LandscapeUnitFacts['published']> {
  const { parsed } = unit.serviceConfiguration;
  return {
    profile: unit.profile,
    version: unit.version,
    endpoints: { ...readEndpoints(parsed) },
    endpointsDigest: endpointsDigest(parsed),
    // Nobody is told to go on where it can't be told.
    running: services === undefined || services.some(({ isRunning }) => isRunning),
    fenced,
  };
}

function filesStatus(
  fenced: boolean,
  state: FilesState | undefined,
  fault: Failure | undefined,
): Omit<LandscapeUnitFacts['files'], 'second'> {
  const failed = fault === undefined ? (state?.failed ?? null) : { message: fault.message, hint: fault.hint ?? null };
  return {
    fenced,
    keptAt: state?.kept?.checkedAt ?? null,
    count: state?.kept?.count ?? 0,
    missing: state?.kept?.missing ?? [],
    failure: failed === null ? null : { message: failed.message, hint: failed.hint },
  };
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
