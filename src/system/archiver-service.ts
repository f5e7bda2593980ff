import { lstat, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { readAccounts } from './accounts.ts';
import { readText, removeFile } from './files.ts';
import type { MachinePaths, UnitPlaces } from './machine-paths.ts';
import { run } from './process.ts';
import { hasSystemd, placeUnitFile, readTemplate } from './systemd-units.ts';

/** The cluster that a resident archiver works for. */
export interface ArchivedCluster {
  /** `15/main`. */
  readonly label: string;
  /** The cluster's folder in the unit's home; it belongs to the cluster's owner. */
  readonly folder: string;
}

/**
 * Has systemd keep the resident archiver of a unit's cluster, as the cluster's owner; one that runs an older version, or for
 * another owner or folder, is started again. Waits for nothing: without it WAL is archived as well. May be repeated, after an
 * interruption at any instant too. Does nothing where systemd does not run the machine.
 */
export async function installArchiver(
  paths: MachinePaths,
  places: UnitPlaces,
  { templates, cluster }: { readonly templates: string; readonly cluster: ArchivedCluster },
): Promise<void> {
  if (!(await hasSystemd(paths))) return;
  const accounts = readAccounts('/');
  const { uid, gid } = await lstat(cluster.folder);
  const text = await readTemplate(join(templates, 'unit', 'archiver.service'), {
    LABEL: cluster.label,
    FOLDER: cluster.folder,
    USER: (await accounts.users.nameOf(uid)) ?? String(uid),
    GROUP: (await accounts.groups.nameOf(gid)) ?? String(gid),
    VERSION: await realpath(places.runtime),
  });
  const service = `${places.archiver}.service`;
  const unread = places.archiverUnread;
  await placeUnitFile(join(paths.systemdUnits, service), text, unread);
  if ((await readText(unread)) === undefined) return;
  await run('systemctl', ['daemon-reload']);
  await run('systemctl', ['enable', service]);
  await run('systemctl', ['--no-block', 'restart', service]);
  await removeFile(unread);
}

/** Stops a unit's archiver and removes its file; there may be none. May be repeated. */
export async function removeArchiver(paths: MachinePaths, places: UnitPlaces): Promise<void> {
  const service = `${places.archiver}.service`;
  const file = join(paths.systemdUnits, service);
  if ((await readText(file)) === undefined) return;
  if (await hasSystemd(paths)) {
    // 5: systemd does not know it, as where this was interrupted before.
    await run('systemctl', ['disable', '--now', service], { timeoutMs: stopTimeoutMs, answers: [1, 5] });
  }
  await removeFile(file);
  if (await hasSystemd(paths)) await run('systemctl', ['daemon-reload']);
}

/** Longer than the template's `TimeoutStopSec`. */
const stopTimeoutMs = 90_000;
