import { lstat, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { namesIn, removeFile } from './files.ts';
import { readLink, replaceLink } from './link.ts';
import type { MachinePaths, UnitPlaces } from './machine-paths.ts';

const commandName = 'landscape-backup';

function commandOf({ runtime }: Pick<UnitPlaces, 'runtime'>): string {
  return join(runtime, 'bin', commandName);
}

/**
 * Gives root the command: a link to this unit's, unless another unit's or somebody else's works under that name already.
 * Gives back what stands there instead, or `undefined` when it is ours or another unit's.
 */
export async function installCommand(paths: MachinePaths, places: UnitPlaces): Promise<string | undefined> {
  await mkdir(paths.commands, { recursive: true, mode: 0o755 });
  const link = join(paths.commands, commandName);
  const target = await readLink(link);
  if (target === commandOf(places)) return undefined;
  if (target === undefined && (await isThere(link))) return `${link} is somebody else's, and stays`;
  if (target !== undefined && !target.startsWith(`${paths.runtimes}/`)) {
    return `${link} points to ${target}, and stays`;
  }
  if (target === undefined || !(await leadsSomewhere(link))) await replaceLink(link, commandOf(places));
  return undefined;
}

/** Takes the command away when it is this unit's; where another unit has one, root goes on with that. */
export async function removeCommand(paths: MachinePaths, places: UnitPlaces): Promise<void> {
  const link = join(paths.commands, commandName);
  if ((await readLink(link)) !== commandOf(places)) return;
  for (const name of (await namesIn(paths.runtimes)).toSorted()) {
    const other = { runtime: join(paths.runtimes, name, 'runtime') };
    if (other.runtime === places.runtime || !(await leadsSomewhere(commandOf(other)))) continue;
    await replaceLink(link, commandOf(other));
    return;
  }
  await removeFile(link);
}

async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

async function leadsSomewhere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
