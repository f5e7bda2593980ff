import { basename, dirname, join } from 'node:path';
import { Failure, isFailure } from '../core/failure.ts';
import { ownerSchema } from '../core/incarnation.ts';
import { unitOfServer } from '../core/server-files.ts';
import { parseWalName, type WalName } from '../core/wal-name.ts';
import { layout, type Place } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { storeWal, walKeyIn, type Stored } from '../repository/wal-store.ts';
import { noteArchiveSuccess, noteLoggedFailure } from '../system/archive-state.ts';
import type { Clock } from '../system/clock.ts';
import { within } from '../system/deadline.ts';
import { environment } from '../system/environment.ts';
import { readText } from '../system/files.ts';
import {
  readOwnerState,
  readPin,
  readSettings,
  settingsFile,
  type OwnerState,
  type UnitFolder,
} from '../system/home.ts';
import { checkWalFile } from './check-wal-file.ts';
import { withExpected } from './open-expected.ts';
import { keepRejected } from './rejected.ts';

/** What PostgreSQL asks `archive-wal` for. */
export interface ArchiveRequest {
  readonly unit: UnitFolder;
  /** Where the server runs; `path` is relative to it. */
  readonly dataDirectory: string;
  /** `%p` */
  readonly path: string;
  /** `%f` */
  readonly name: string;
}

/** After this long a file can't be archived, whatever is waited for. A segment of 1 GiB comes through a slow network in it. */
export const archiveLimitMs = 4 * 60_000;
/** Writing down how it went has to wait for nobody. */
const noteLimitMs = 5000;

/** How a call may differ from PostgreSQL's. */
interface ArchiveOptions {
  readonly limitMs?: number;
  /** Called before it fails as it has failed before, where PostgreSQL's log has been told lately. */
  readonly known?: () => void;
}

/**
 * Archives one WAL file for a cluster that owns its incarnation, and notes in the unit's folder when that begins or ceases
 * to work. Returns only when the bytes are durable at the destination, stored now or before.
 *
 * Fails with `refused` where the unit owns nothing or the file is not what its name says, `conflict` where the name is taken
 * by other bytes (which are kept), `unavailable` where the repository is not there or another one, and with what else the
 * destination says.
 */
export async function archiveWal(
  request: ArchiveRequest,
  clock: Clock,
  { limitMs = archiveLimitMs, known }: ArchiveOptions = {},
): Promise<Stored> {
  try {
    const stored = await within(limitMs, archivingText(request.name), perform(request));
    // The segment is stored: that the note of it could not be written changes nothing about it.
    await within(noteLimitMs, 'the note', noteArchiveSuccess(request.unit, clock.now())).catch(() => undefined);
    return stored;
  } catch (error) {
    const note = noteLoggedFailure(request.unit, request.name, error, clock.now());
    // Without a note it is told each time.
    const isLacking = await within(noteLimitMs, 'the note', note).catch(() => true);
    if (!isLacking) known?.();
    throw error;
  }
}

/** What takes its time, in the same words whoever does it. */
export function archivingText(name: string): string {
  return `archiving ${name}`;
}

async function perform({ unit, dataDirectory, path, name }: ArchiveRequest): Promise<Stored> {
  const wal = parseWalName(name);
  const home = dirname(unit.path);
  const owner = await readOwner(unit);
  await checkServer(unit, dataDirectory);
  const { destination, access, second, encryption, compressionLevel } = await readSettings(home);
  if (destination === undefined) {
    throw new Failure('settings', 'the option destination is empty', {
      hint: `Write it into ${settingsFile(home)}; WAL stays in pg_wal until then.`,
    });
  }
  const pin = await readPin(unit);
  if (pin === undefined) {
    throw new Failure('refused', `${unit.path} names no repository`, { hint: 'Run landscape-backup init.' });
  }
  const file = { name: wal, path: join(dataDirectory, path) };
  const at = { destination, access, second, encryption, privateFolder: unit.path };
  return await withExpected(at, pin.repositoryId, async (repository) => {
    return await archiveFile(repository, owner, file, { unit, level: compressionLevel });
  });
}

/**
 * Archives a WAL file into the incarnation that an owner state names, after asking the repository whose that is.
 *
 * Fails as `archiveWal` does.
 */
export async function archiveFile(
  repository: Repository,
  owner: OwnerState,
  file: { readonly name: WalName; readonly path: string },
  options: { readonly unit: UnitFolder; readonly level: number },
): Promise<Stored> {
  await checkOwnership(repository, owner);
  await checkWalFile(file.path, file.name, owner.systemIdentifier);
  try {
    return await storeWal(repository, owner, file.name, file.path, options.level);
  } catch (error) {
    throw await explained(error, { repository, owner, unit: options.unit }, file);
  }
}

/** Says what stands in the way of a file, and keeps the bytes that the repository refused; other errors stay as they are. */
export async function explained(
  error: unknown,
  {
    repository,
    owner,
    unit,
  }: { readonly repository: Repository; readonly owner: OwnerState; readonly unit: UnitFolder },
  { name, path }: { readonly name: WalName; readonly path: string },
): Promise<unknown> {
  if (isFailure(error, 'conflict')) {
    const kept = await keepRejected(unit, path);
    return new Failure('conflict', `${error.message}; ${kept}`, { hint: error.hint, cause: error });
  }
  return isFailure(error, 'damaged') ? storedDamage(repository, owner, name, error) : error;
}

/** The stored object claims to be these bytes and is not: PostgreSQL still has them, so they can be stored anew. */
function storedDamage(repository: Repository, place: Place, name: WalName, error: Failure): Failure {
  return new Failure('damaged', `${name.name} is stored already, but damaged: ${error.message}`, {
    hint: `Look for disk errors at the destination, then remove ${repository.storage.url}/${walKeyIn(repository, place, name.name)}: it will be stored again.`,
    cause: error,
  });
}

async function readOwner(unit: UnitFolder): Promise<OwnerState> {
  const owner = await readOwnerState(unit);
  if (owner !== undefined) return owner;
  throw new Failure('refused', `the cluster of ${unit.path} owns no incarnation, so it may not archive`, {
    hint: 'A restored copy archives after landscape-backup take-over; otherwise turn its archiving off.',
  });
}

/** Asks the repository whose an incarnation is; fails with `refused` unless it is that of the owner state. */
export async function checkOwnership(repository: Repository, owner: OwnerState): Promise<void> {
  const known = await repository.readJson(layout.owner(owner), ownerSchema);
  const which = `incarnation ${owner.incarnation} of cluster ${owner.systemIdentifier}`;
  if (known === undefined) {
    throw new Failure('refused', `the repository at ${repository.storage.url} holds no ${which}`, {
      hint: 'Was the claim interrupted? See landscape-backup status.',
    });
  }
  if (known.ownerId === owner.ownerId) return;
  throw new Failure('refused', `${which} belongs to ${known.unit} of ${known.application}, not to this unit`, {
    hint: 'Whoever is not its owner may only read it; landscape-backup take-over makes a new incarnation.',
  });
}

/**
 * A clone on the same machine carries the original's `archive_command`, and with it its unit's folder: the configuration
 * that its server was started with tells them apart. postgresql-common always names it on the command line.
 */
export async function checkServer(unit: UnitFolder, dataDirectory: string): Promise<void> {
  const options = await readText(join(dataDirectory, 'postmaster.opts'));
  const started = options === undefined ? undefined : unitOfServer(options);
  const expected = basename(unit.path);
  if (started === expected) return;
  const [version = '', ...name] = expected.split('-');
  const configuration = join(environment.clusterConfigurationRoot(), version, name.join('-'), 'postgresql.conf');
  // Where postgresql-common does not know the cluster, nothing says how its server has to be started.
  if (started === undefined && (await readText(configuration)) === undefined) return;
  const what = started === undefined ? `was not started with ${configuration}` : `is ${started}`;
  throw new Failure('refused', `the server in ${dataDirectory} ${what}, its archive_command speaks for ${expected}`, {
    hint: "It is a copy with its original's settings: turn its archiving off (alter system reset archive_command).",
  });
}
