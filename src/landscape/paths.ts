import type { Dirent } from 'node:fs';
import { readdir, readlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { readApacheReferences } from '../core/apache-configuration.ts';
import { isFailure } from '../core/failure.ts';
import { wantedPaths } from '../core/landscape-profile.ts';
import { errorCode } from '../system/files.ts';
import { holdDirectory } from '../system/held-directory.ts';
import { expandPattern, readMachineText, type LandscapeMachine } from './machine.ts';
import { repositoryPath, type LandscapeUnit } from './unit.ts';

/** What the operator wants beside the usual. */
export interface CaptureOptions {
  readonly includeLogs: boolean;
  readonly extraPaths: readonly string[];
}

/** The paths of a unit's file set, and those without which Landscape can't be brought back. */
export interface CapturePaths {
  readonly paths: readonly string[];
  readonly required: readonly string[];
}

/** Finds out which paths belong to this unit's file set. */
export async function capturePaths(
  machine: LandscapeMachine,
  unit: LandscapeUnit,
  options: CaptureOptions,
): Promise<CapturePaths> {
  const wanted = wantedPaths(unit.profile, {
    serviceConfiguration: unit.serviceConfiguration.path,
    repositoryPath: repositoryPath(unit),
    certificates: unit.profile === 'charmed' ? [] : await certificatesOf(machine),
    ...options,
  });
  const paths = new Set<string>();
  const required = new Set<string>();
  for (const each of wanted) {
    for (const path of await expandPattern(machine, each.path)) {
      const target = await linkTarget(machine, path);
      if (each.linksOnly && target === undefined) continue;
      paths.add(path);
      if (each.required) required.add(path);
      // A link alone brings nothing back where what it points to is not there.
      const targets = target === undefined ? await targetsBelow(machine, path) : [target];
      for (const other of each.linksOnly ? [] : targets.filter(isKept)) paths.add(other);
    }
  }
  return { paths: [...paths], required: [...required] };
}

/** Where the links below a directory point to. Only below /etc: links that others make lead nowhere for us. */
async function targetsBelow(machine: LandscapeMachine, path: string): Promise<readonly string[]> {
  if (!path.startsWith('/etc/')) return [];
  const targets: string[] = [];
  for (const entry of await entriesOf(machine, path)) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) targets.push(...(await targetsBelow(machine, child)));
    else if (entry.isSymbolicLink()) targets.push((await linkTarget(machine, child)) ?? child);
  }
  return targets;
}

async function entriesOf({ root }: LandscapeMachine, path: string): Promise<readonly Dirent[]> {
  try {
    const held = await holdDirectory(root, path);
    try {
      return await readdir(held.self, { withFileTypes: true });
    } finally {
      await held.close();
    }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error) ?? '') || isFailure(error, 'refused')) return [];
    throw error;
  }
}

/** Follows links from link to link, at most so many. */
const mostLinks = 10;

/** What a link points to in the end, as far as it can be told without following links of others; `undefined` for no link. */
async function linkTarget(machine: LandscapeMachine, path: string): Promise<string | undefined> {
  let at = path;
  for (let count = 0; count < mostLinks; count += 1) {
    const target = await readLink(machine, at);
    if (target === undefined) break;
    at = resolve(dirname(at), target);
  }
  return at === path ? undefined : at;
}

async function readLink({ root }: LandscapeMachine, path: string): Promise<string | undefined> {
  try {
    const held = await holdDirectory(root, dirname(path));
    try {
      return await readlink(held.at(basename(path)));
    } finally {
      await held.close();
    }
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EINVAL' || code === 'ENOENT' || code === 'ENOTDIR' || isFailure(error, 'refused')) return undefined;
    throw error;
  }
}

/** What the system brings with it, or what is not kept on a disk, is no configuration. */
function isKept(path: string): boolean {
  return /^\/(etc|srv|var|opt|home|root|usr\/local)\/./.test(path) && !path.startsWith('/var/log/');
}

const serverRoot = '/etc/apache2';

/** Certificates and keys that the enabled virtual hosts name, through all files that they include below /etc/apache2. */
async function certificatesOf(machine: LandscapeMachine): Promise<readonly string[]> {
  const certificates = new Set<string>();
  const seen = new Set<string>();
  const ahead = [...(await expandPattern(machine, `${serverRoot}/sites-enabled/*`))];
  for (let path = ahead.pop(); path !== undefined; path = ahead.pop()) {
    const place = (await linkTarget(machine, path)) ?? path;
    if (seen.has(place)) continue;
    seen.add(place);
    const references = readApacheReferences((await readMachineText(machine, place)) ?? '');
    for (const each of references.certificates) {
      const certificate = resolve(serverRoot, each);
      certificates.add(certificate);
      const target = await linkTarget(machine, certificate);
      if (target !== undefined) certificates.add(target);
    }
    for (const include of references.includes) {
      const pattern = join(resolve(serverRoot, include));
      if (pattern.startsWith(`${serverRoot}/`)) ahead.push(...(await expandPattern(machine, pattern)));
    }
  }
  return [...certificates].filter(isKept);
}
