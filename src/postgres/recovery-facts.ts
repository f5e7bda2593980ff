import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { ClusterSetting } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import { librariesIn, localeSettings } from '../core/setting-precedence.ts';
import { errorCode } from '../system/files.ts';
import { run } from '../system/process.ts';
import type { Cluster } from './cluster.ts';

const floorNames = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
] as const;

/** What a cluster's configuration files say of the settings that recovery may need raised; the server need not run. */
export async function readOwnFloors(
  cluster: Pick<Cluster, 'binaries' | 'configDirectory'>,
): Promise<Readonly<Record<string, number>>> {
  const floors: Record<string, number> = {};
  for (const name of floorNames) {
    const { stdout } = await run(join(cluster.binaries, 'postgres'), ['-D', cluster.configDirectory, '-C', name], {
      env: { LC_ALL: 'C' },
    });
    floors[name] = Number(stdout.trim());
  }
  return floors;
}

/** Which programs a restore needs that this machine lacks, by their paths. */
export async function missingPrograms(cluster: Pick<Cluster, 'binaries' | 'major'>): Promise<readonly string[]> {
  const dump = Number(cluster.major) < 10 ? 'pg_xlogdump' : 'pg_waldump';
  const missing: string[] = [];
  for (const name of ['postgres', 'pg_controldata', dump]) {
    const path = join(cluster.binaries, name);
    if (!(await isThere(path))) missing.push(path);
  }
  return missing;
}

/** Which libraries production's settings load that this machine lacks. */
export async function missingLibraries(
  cluster: Pick<Cluster, 'binaries'>,
  carried: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const lists = ['shared_preload_libraries', 'session_preload_libraries', 'local_preload_libraries'];
  const names = lists.flatMap((name) => librariesIn(carried[name] ?? '').map((library) => ({ name, library })));
  if (names.length === 0) return [];
  const { stdout } = await run(join(cluster.binaries, 'pg_config'), ['--pkglibdir']);
  const missing: string[] = [];
  for (const { name, library } of names) {
    const folder = join(stdout.trim(), name === 'local_preload_libraries' ? 'plugins' : '.');
    const plain = library.replace(/^\$libdir\//, '');
    const path = isAbsolute(plain) ? plain : join(folder, plain);
    if (!(await isThere(path)) && !(await isThere(`${path}.so`))) missing.push(library);
  }
  return [...new Set(missing)];
}

/** Which locales production uses that this machine lacks. */
export async function missingLocales(settings: readonly ClusterSetting[]): Promise<readonly string[]> {
  const names: readonly string[] = localeSettings;
  const used = new Set(settings.filter(({ name }) => names.includes(name)).map(({ setting }) => setting));
  const { stdout } = await run('locale', ['-a']);
  const known = new Set(stdout.split('\n').map(plainLocale));
  return [...used].filter((name) => name !== '' && !known.has(plainLocale(name))).sort();
}

/** `en_US.UTF-8` and `en_US.utf8` are one; POSIX is another name of C. */
function plainLocale(name: string): string {
  const plain = name.toLowerCase().replaceAll('-', '');
  return plain === 'posix' ? 'c' : plain;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false;
    throw new Failure('machine', `${path} could not be looked at: ${errorCode(error) ?? String(error)}`, {
      cause: error,
    });
  }
}
