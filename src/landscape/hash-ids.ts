import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, toFailure } from '../core/failure.ts';
import { hashIdFolder, maintenanceFile } from '../core/landscape-profile.ts';
import { readAccounts } from '../system/accounts.ts';
import { errorCode } from '../system/files.ts';
import { run } from '../system/process.ts';
import type { LandscapeMachine } from './machine.ts';

/**
 * The script that makes the hash-id databases, under the names that it has had, best first. Only the first one works while
 * Landscape's maintenance flag lies there.
 */
const scripts = [
  { path: '/opt/canonical/landscape/hash-id-databases-ignore-maintenance', needsFlagGone: false },
  { path: '/opt/canonical/landscape/hash-id-databases', needsFlagGone: true },
  { path: '/opt/canonical/landscape/scripts/hash_id_databases.sh', needsFlagGone: true },
] as const;
export type HashIdScript = (typeof scripts)[number];

/** The script that this version has; `undefined` when it has none of them. */
export async function findHashIdScript(machine: LandscapeMachine): Promise<HashIdScript | undefined> {
  for (const script of scripts) if (await isThere(join(machine.root, script.path))) return script;
  return undefined;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}

/** How the databases came out; a failure is told, and Landscape works without them. */
export type HashIds = { readonly is: 'made' } | { readonly is: 'not-made'; readonly why: string };

/** It reads the package indexes of all series from the network; the official guide waits half an hour. */
const timeoutMs = 2 * 60 * 60_000;

/**
 * Throws the hash-id databases away and has them made again: what they hold means something in one database only.
 *
 * All of it as the user landscape, whose directory it is, with an environment of its own: a charm's would break the script.
 */
export async function renewHashIds(machine: LandscapeMachine, signal: AbortSignal | undefined): Promise<HashIds> {
  const folder = join(machine.root, hashIdFolder);
  try {
    if (await isThere(folder))
      await asLandscape(machine, ['find', '-H', folder, '-mindepth', '1', '-delete'], { timeoutMs, signal });
  } catch (error) {
    return { is: 'not-made', why: `the old ones could not be removed: ${toFailure(error).message}` };
  }
  const script = await findHashIdScript(machine);
  if (script === undefined) return { is: 'not-made', why: 'this version of Landscape has no script for them' };
  if (script.needsFlagGone && (await isThere(join(machine.root, maintenanceFile))))
    return { is: 'not-made', why: `${script.path} does nothing while ${maintenanceFile} lies there` };
  try {
    await asLandscape(machine, [join(machine.root, script.path)], { timeoutMs, signal });
    return { is: 'made' };
  } catch (error) {
    // Its words may name anything; they stand in Landscape's own log.
    const how = toFailure(error).message.split(':')[0] ?? '';
    return {
      is: 'not-made',
      why: `${how.replace(/^setpriv/, script.path)}; see /var/log/landscape-server/hash-id-databases.log`,
    };
  }
}

async function asLandscape(
  { root }: LandscapeMachine,
  command: readonly string[],
  options: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const accounts = readAccounts(root);
  const uid = await accounts.users.idOf('landscape');
  const gid = await accounts.groups.idOf('landscape');
  if (uid === undefined || gid === undefined) throw new Failure('machine', 'there is no user landscape');
  // Below another root the machine's own name service does not know that user.
  const groups = root === '/' ? '--init-groups' : '--clear-groups';
  const become = [`--reuid=${uid}`, `--regid=${gid}`, groups, '--'];
  await run('setpriv', [...become, 'env', '-i', ...environment, ...command], { ...options, cwd: '/' });
}

const environment = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  'HOME=/var/lib/landscape',
  'USER=landscape',
  'LOGNAME=landscape',
  'LANG=C.UTF-8',
  'PYTHONPATH=/opt/canonical/landscape',
];
