import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { toFailure } from '../core/failure.ts';
import { childJobs } from './child-jobs.ts';
import type { Clock } from './clock.ts';
import { removeArchiver } from './archiver-service.ts';
import { installCommand, removeCommand } from './command-link.ts';
import { removeEmpty, removeHome } from './home-removal.ts';
import type { Jobs } from './jobs.ts';
import { placesOf, type MachinePaths } from './machine-paths.ts';
import { installRuntime } from './runtime-install.ts';
import { systemdJobs } from './systemd-jobs.ts';
import { hasSystemd, installUnitFiles, removeUnitFiles } from './systemd-units.ts';

/** What is to be on the machine for a unit. */
export interface InstallationRequest {
  /** `landscape-backup/0`. */
  readonly unit: string;
  /** Where the charm lies, with `runtime/` and `systemd/` in it; Juju replaces it at an upgrade. */
  readonly charmDirectory: string;
  /** The verbs that the timer calls every minute. */
  readonly due: readonly string[];
}

/** What an installation came to. */
export interface Installed {
  /** The runtime in force is another than before. */
  readonly runtimeChanged: boolean;
  /** What a person may want to know, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * Installs everything that outlives hooks: the home, the runtime, systemd's units, the command. May be repeated, after an
 * interruption at any instant too; other units' parts are not touched. Takes seconds.
 */
export async function installUnit(paths: MachinePaths, request: InstallationRequest): Promise<Installed> {
  const places = placesOf(paths, request.unit);
  await mkdir(places.home, { recursive: true, mode: 0o755 });
  const { changed } = await installRuntime(join(request.charmDirectory, 'runtime'), places);
  await installUnitFiles(paths, places, {
    unit: request.unit,
    templates: join(request.charmDirectory, 'systemd'),
    due: request.due,
  });
  const note = await installCommand(paths, places);
  return { runtimeChanged: changed, notes: note === undefined ? [] : [note] };
}

/** What a removal came to. */
export interface Removed {
  /** What stays on the machine and why, one sentence each. */
  readonly stays: readonly string[];
  /** What could not be removed; a repeated call tries it again. */
  readonly problems: readonly string[];
}

/**
 * Removes everything of a unit from the machine, but for what nobody could make again. Never fails: a step that does keeps no
 * other from its turn. PostgreSQL must not call the runtime any more when this is called. `kept` names what in the home stays.
 */
export async function removeUnit(paths: MachinePaths, unit: string, kept: readonly string[] = []): Promise<Removed> {
  const places = placesOf(paths, unit);
  const stays: string[] = [];
  const problems: string[] = [];
  const attempt = async (step: () => Promise<unknown>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      problems.push(toFailure(error).message);
    }
  };
  await attempt(async () => {
    await removeArchiver(paths, places);
  });
  await attempt(async () => {
    await removeUnitFiles(paths, places);
  });
  await attempt(async () => {
    await removeCommand(paths, places);
  });
  await attempt(async () => {
    await rm(dirname(places.runtime), { recursive: true, force: true });
    await removeEmpty(paths.runtimes);
  });
  await attempt(async () => {
    stays.push(...(await removeHome(places.home, kept)));
    await removeEmpty(paths.homes);
  });
  return { stays, problems };
}

/** The jobs of a unit on this machine: run by systemd where it runs the machine, else as processes. */
export async function openJobs(paths: MachinePaths, unit: string, clock: Clock): Promise<Jobs> {
  const { home, jobTemplate, runtime } = placesOf(paths, unit);
  if (await hasSystemd(paths)) return systemdJobs(home, jobTemplate, clock);
  return childJobs(home, [join(runtime, 'bin', 'landscape-backup')], clock);
}
