import { lstat, readdir, readlink, realpath, stat, statfs } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { Backup } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { asidePrefix } from '../postgres/directory-contents.ts';
import { errorCode } from '../system/files.ts';
import { run } from '../system/process.ts';

/** The directories of a plan. */
export type RestoreDirectories = RestorePlan['directories'];

/** Decides which directories are filled; tablespaces keep their place unless the map says otherwise. Fails with `refused`. */
export async function decideDirectories(
  cluster: Pick<Cluster, 'dataDirectory' | 'major'>,
  backup: Backup,
  map: Readonly<Record<string, string>>,
): Promise<RestoreDirectories> {
  const data = cluster.dataDirectory;
  const tablespaces = backup.archives.flatMap(({ oid, location }) => {
    if (oid === null || location === null) return [];
    return [{ oid, was: location, location: map[location] ?? map[String(oid)] ?? location }];
  });
  const unused = Object.keys(map).find(
    (key) => !tablespaces.some(({ oid, was }) => key === was || key === String(oid)),
  );
  if (unused !== undefined) {
    const known = tablespaces.map(({ was }) => was).join(', ');
    throw new Failure('refused', `backup ${backup.id} has no tablespace at ${unused}`, {
      hint: known === '' ? 'It has no tablespaces: leave --tablespace-map out.' : `Its tablespaces are at ${known}.`,
    });
  }
  const own = await ownTablespaces(data);
  for (const { location } of tablespaces) await checkLocation(location, data, own);
  const twice = tablespaces.find(({ location }, index) =>
    tablespaces.slice(0, index).some((other) => other.location === location),
  );
  if (twice !== undefined)
    throw new Failure('refused', `two tablespaces would go to ${twice.location}`, {
      hint: 'Give each its own place with --tablespace-map.',
    });
  return { data, wal: await linkedWal(data, cluster.major), tablespaces };
}

/** Where the WAL directory points when it is a link. */
async function linkedWal(data: string, major: string): Promise<string | null> {
  const path = join(data, Number(major) < 10 ? 'pg_xlog' : 'pg_wal');
  try {
    return (await lstat(path)).isSymbolicLink() ? await realpath(path) : null;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw unreadable(path, error);
  }
}

/** The locations of the tablespaces that the cluster on this machine has now. */
async function ownTablespaces(data: string): Promise<ReadonlySet<string>> {
  const folder = join(data, 'pg_tblspc');
  const found = new Set<string>();
  for (const name of await entries(folder)) {
    if (/^\d+$/.test(name)) found.add(resolve(folder, await readlink(join(folder, name))));
  }
  return found;
}

/** A place that holds anything but this cluster's own tablespace may be another cluster's: it is never touched. */
async function checkLocation(location: string, data: string, own: ReadonlySet<string>): Promise<void> {
  const hint = 'Choose another place with --tablespace-map <old location>=<new location>.';
  if (!isAbsolute(location) || location !== resolve(location)) {
    throw new Failure('refused', `a tablespace can't go to ${location}: it is not an absolute, plain path`, { hint });
  }
  if (location === data || `${location}/`.startsWith(`${data}/`) || `${data}/`.startsWith(`${location}/`)) {
    throw new Failure('refused', `a tablespace can't go to ${location}: the data directory is ${data}`, { hint });
  }
  if (own.has(location)) return;
  const there = (await entries(location)).filter((name) => !name.startsWith(asidePrefix) && name !== 'lost+found');
  if (there.length === 0) return;
  throw new Failure(
    'refused',
    `a tablespace would go to ${location}, which holds ${there[0] ?? ''} that is not this cluster's`,
    { hint },
  );
}

/** The names in a directory; none when it does not exist. */
async function entries(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): Failure {
  return new Failure('machine', `${path} could not be looked at: ${errorCode(error) ?? String(error)}`, {
    hint: 'Plans are made as the owner of the cluster, who must be able to read it.',
    cause: error,
  });
}

/** What one file system has to take. */
export interface RoomMeasured {
  /** The directories that lie on it. */
  readonly directories: readonly string[];
  readonly neededBytes: number;
  /** What is free, with what goes first when the old contents are discarded. */
  readonly freeBytes: number;
}

/** Recovery keeps as much WAL at hand as lies between two restartpoints; more than this it never was in practice. */
const mostWalBytes = 2 * 1024 ** 3;
const spareShare = 1.03;

/** Measures the room on every file system that a restore writes to. */
export async function measureRoom(
  directories: RestoreDirectories,
  backup: Backup,
  options: { readonly walBytes: number; readonly discardOld: boolean },
): Promise<readonly RoomMeasured[]> {
  const stored = (oid: number | null) =>
    backup.archives
      .filter((each) => each.oid === oid)
      .flatMap(({ parts }) => parts)
      .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const all = Math.max(
    1,
    backup.archives.flatMap(({ parts }) => parts).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  );
  const share = (oid: number | null) => Math.ceil((backup.plainBytes * stored(oid) * spareShare) / all);
  const wanted = [
    { path: directories.data, bytes: share(null) },
    { path: directories.wal ?? directories.data, bytes: Math.min(options.walBytes, mostWalBytes) },
    ...directories.tablespaces.map(({ oid, location }) => ({ path: location, bytes: share(oid) })),
  ];
  const systems = new Map<number, { directories: Set<string>; neededBytes: number; freeBytes: number }>();
  for (const { path, bytes } of wanted) {
    const at = await nearest(path);
    const { dev } = await stat(at);
    const system = systems.get(dev) ?? { directories: new Set<string>(), neededBytes: 0, freeBytes: await freeAt(at) };
    if (options.discardOld && !system.directories.has(path)) system.freeBytes += await sizeOf(path);
    system.directories.add(path);
    system.neededBytes += bytes;
    systems.set(dev, system);
  }
  return [...systems.values()].map((system) => ({ ...system, directories: [...system.directories] }));
}

/** Fails with `machine` when a file system can't take what comes; names it, and what would help. */
export function checkRoom(measured: readonly RoomMeasured[], discardOld: boolean): void {
  const tight = measured.find(({ neededBytes, freeBytes }) => neededBytes > freeBytes);
  if (tight === undefined) return;
  const mib = (bytes: number) => `${Math.ceil(bytes / 1024 ** 2)} MiB`;
  throw new Failure(
    'machine',
    `there is no room: ${tight.directories.join(', ')} needs ${mib(tight.neededBytes)}, free are ${mib(tight.freeBytes)}`,
    {
      hint: discardOld
        ? 'Make room, or map tablespaces elsewhere with --tablespace-map.'
        : 'The old contents stay aside: make room, or give them up with --discard-old.',
    },
  );
}

async function freeAt(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/** The path itself, or the nearest folder above it that exists. */
async function nearest(path: string): Promise<string> {
  for (let each = path; ; each = dirname(each)) {
    try {
      await stat(each);
      return each;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || each === '/') throw unreadable(each, error);
    }
  }
}

async function sizeOf(path: string): Promise<number> {
  if ((await entries(path)).length === 0) return 0;
  // What earlier restores set aside is not discarded. A file that goes away under du while the server runs makes it end with 1; what it counted is good.
  const { stdout } = await run(
    'du',
    ['--summarize', '--one-file-system', '--block-size=1', `--exclude=${asidePrefix}*`, path],
    {
      answers: [1],
      timeoutMs: 600_000,
    },
  );
  return Number(/^(\d+)/.exec(stdout)?.[1] ?? 0);
}
