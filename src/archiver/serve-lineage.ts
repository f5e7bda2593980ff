import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DestinationPlace } from '../core/destination-options.ts';
import { Failure, isFailure } from '../core/failure.ts';
import { lineage, type Incarnation } from '../core/incarnation.ts';
import { asksForStandby, readSystemIdentifier } from '../core/server-files.ts';
import { newestOf } from '../core/wal-keepers.ts';
import type { WalName } from '../core/wal-name.ts';
import { listIncarnations } from '../repository/incarnations.ts';
import type { Repository } from '../repository/repository.ts';
import { errorCode, readText } from '../system/files.ts';
import { readOwnerState, readPin, readSettings, type UnitFolder } from '../system/home.ts';
import { findLater, findPart, findWal } from './find-wal.ts';
import { withExpected } from './open-expected.ts';
import { placeWal } from './place-wal.ts';
import type { RestoreRequest, Served } from './restore-request.ts';

/**
 * Serves a standby, or a recovery without a plan of ours, from the lineage of the unit's incarnation.
 *
 * A standby may be told at once that something is not there yet: it asks again. Any other recovery takes "absent" for the
 * end of the WAL, so a segment with a later one of its timeline behind it is a hole and never absent.
 */
export async function serveLineage(request: RestoreRequest, name: WalName, target: string): Promise<Served> {
  const { unit, dataDirectory } = request;
  const { destination, access, second, encryption } = await readSettings(dirname(unit.path));
  const pin = await readPin(unit);
  if (destination === undefined || pin === undefined) {
    throw new Failure('settings', `${unit.path} has no plan in service and names no repository`, {
      hint: "Is it the unit's folder? A restore begins with landscape-backup restore.",
    });
  }
  const rest = { second: undefined, encryption, privateFolder: unit.path };
  const serveAt = async (place: DestinationPlace): Promise<Served> =>
    await withExpected(
      { ...place, ...rest },
      pin.repositoryId,
      async (repository) => await serveFrom(repository, request, name, target),
    );
  if (second === undefined) return await serveAt({ destination, access });
  return await fromEither(
    async () => await serveAt({ destination, access }),
    async () => await serveAt(second),
    async () => await isStandby(dataDirectory),
  );
}

/**
 * While the first destination was away the owner may have stored a segment at the second only, so it is absent only where it is
 * at neither. A standby asks again, and is not kept waiting for the second.
 */
async function fromEither(
  first: () => Promise<Served>,
  second: () => Promise<Served>,
  mayBeLate: () => Promise<boolean>,
): Promise<Served> {
  let failed: { readonly error: unknown } | undefined;
  try {
    if ((await first()) === 'served') return 'served';
    if (await mayBeLate()) return 'absent';
  } catch (error) {
    failed = { error };
  }
  try {
    const served = await second();
    if (served === 'served' || failed === undefined) return served;
  } catch (error) {
    // Where there positively is no repository lies nothing that the first lacks.
    const isNone = error instanceof Failure && isFailure(error.cause, 'missing');
    if (failed === undefined && isNone) return 'absent';
    failed ??= { error };
  }
  throw failed.error;
}

async function serveFrom(
  repository: Repository,
  { unit, dataDirectory, isWanted }: RestoreRequest,
  name: WalName,
  target: string,
): Promise<Served> {
  const systemIdentifier = await readOwnIdentifier(dataDirectory);
  const line = await readLine(repository, systemIdentifier, unit);
  const place = await findWal(repository, systemIdentifier, line, name);
  if (place !== undefined) {
    await placeWal(repository, place, { name, target, segmentSize: undefined, isWanted });
    return 'served';
  }
  if (name.kind !== 'segment' || (await isStandby(dataDirectory))) return 'absent';
  const begun = await findPart(repository, systemIdentifier, line, name);
  if (begun !== undefined) {
    const { place: of, length: part } = begun;
    await placeWal(repository, of, { name, target, segmentSize: undefined, part, isWanted });
    return 'served';
  }
  const later = await findLater(repository, systemIdentifier, line, name);
  if (later === undefined) return 'absent';
  throw new Failure('missing', `${name.name} is not stored, but ${later} after it is: the WAL has a hole`, {
    hint: 'Restore to a point before it, or from a later backup: landscape-backup list-backups.',
  });
}

/** The lineage that this cluster goes on with: its own incarnation's, or the only one that there is. */
async function readLine(
  repository: Repository,
  systemIdentifier: string,
  unit: UnitFolder,
): Promise<readonly Incarnation[]> {
  const own = await readOwnerState(unit);
  if (own !== undefined && own.systemIdentifier !== systemIdentifier) {
    throw new Failure('refused', `this is the cluster ${systemIdentifier}, ${unit.path} is of ${own.systemIdentifier}`);
  }
  const incarnations = await listIncarnations(repository, systemIdentifier);
  const newest = newestOf(incarnations);
  const number = own?.incarnation ?? (newest.length === 1 ? newest[0]?.number : undefined);
  const line = number === undefined ? [] : lineage(number, incarnations);
  if (line.length > 0) return line;
  const known = incarnations.map((each) => each.number).join(', ');
  throw new Failure(
    'refused',
    `it is not clear which incarnation of cluster ${systemIdentifier} to read (stored: ${known || 'none'})`,
    {
      hint: 'A plan says which: landscape-backup restore.',
    },
  );
}

async function readOwnIdentifier(dataDirectory: string): Promise<string> {
  const path = join(dataDirectory, 'global', 'pg_control');
  try {
    const handle = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(8), 0, 8, 0);
      return readSystemIdentifier(buffer.subarray(0, bytesRead));
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure('machine', `${path} could not be read: ${errorCode(error) ?? String(error)}`, { cause: error });
  }
}

async function isStandby(dataDirectory: string): Promise<boolean> {
  if ((await readText(join(dataDirectory, 'standby.signal'))) !== undefined) return true;
  const before12 = await readText(join(dataDirectory, 'recovery.conf'));
  return before12 !== undefined && asksForStandby(before12);
}
