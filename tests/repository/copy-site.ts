import { backupSchema, type Backup } from '../../src/core/backup.ts';
import { holeSchema, markSchema, restorePointSchema, witnessSchema } from '../../src/core/record.ts';
import { parseWalName, segmentName } from '../../src/core/wal-name.ts';
import { storeFileSet } from '../../src/repository/file-sets.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { layout, type Place } from '../../src/repository/layout.ts';
import { takeLease } from '../../src/repository/leases.ts';
import { storeObject, storeParts } from '../../src/repository/parts.ts';
import { appendRecord } from '../../src/repository/records.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import { storePart } from '../../src/repository/wal-parts.ts';
import { storeWalInOnePass, type ReadOnce, type Stored } from '../../src/repository/wal-store.ts';
import { backup as built, segmentSize } from '../core/catalogue-builder.ts';
import { noise } from '../storage/bytes.ts';

export const systemIdentifier = '7000000000000000001';
export const place: Place = { systemIdentifier, incarnation: 1 };
const at = new Date('2026-11-24T03:00:00.000Z');

/** Claims an incarnation for an owner of this name. */
export async function claim(repository: Repository, incarnation: number, ownerId: string): Promise<void> {
  await claimIncarnation(repository, systemIdentifier, incarnation, {
    format: 1,
    ownerId,
    model: 'model',
    application: 'production',
    unit: ownerId,
    since: at,
    parent: incarnation === 1 ? null : { incarnation: 1, timeline: 1, lsn: 0x3000000n },
  });
}

/** Stores a backup of three parts with its record. */
export async function storeWholeBackup(
  repository: Repository,
  sketch: Parameters<typeof built>[0],
  where: Place = place,
  partBytes = 1000,
): Promise<Backup> {
  const sketched = built(sketch);
  const folder = layout.backup(where, sketched.id);
  const body = async function* () {
    yield noise(3 * partBytes, sketch.segment);
  };
  const parts = [...(await storeParts(repository, folder, 'base.tar.zst', body(), partBytes))];
  const manifest = await storeObject(repository, folder, 'backup_manifest', bytesOf(`manifest of ${sketched.id}`));
  const whole: Backup = {
    ...sketched,
    ...where,
    archives: [{ oid: null, location: null, parts }],
    manifest,
  };
  await repository.writeJson(layout.backupRecord(where, sketched.id), backupSchema, whole);
  return whole;
}

/** Stores segments of timeline 1, both ends included. */
export async function storeSegments(
  repository: Repository,
  first: number,
  last: number,
  { where = place, level = 1 }: { readonly where?: Place; readonly level?: number } = {},
): Promise<void> {
  for (let segment = first; segment <= last; segment += 1) {
    await storeSegment(repository, segment, plainOf(segment), { where, level });
  }
}

/** What a segment holds in these tests. */
export function plainOf(segment: number): Buffer {
  return Buffer.alloc(5000, `segment ${segment} `);
}

/** Stores a segment of timeline 1 that holds this. */
export async function storeSegment(
  repository: Repository,
  segment: number,
  plain: Uint8Array,
  { where = place, level = 1 }: { readonly where?: Place; readonly level?: number } = {},
): Promise<Stored> {
  const name = parseWalName(segmentName(1, segment, segmentSize));
  return await storeWalInOnePass(repository, where, name, readOnce(plain), level);
}

/** Bytes in memory as a file that is read once. */
function readOnce(plain: Uint8Array): ReadOnce {
  let at = 0;
  const read = async (buffer: Uint8Array): Promise<number> => {
    const chunk = plain.subarray(at, at + buffer.byteLength);
    buffer.set(chunk);
    at += chunk.byteLength;
    return chunk.byteLength;
  };
  return { read, length: plain.byteLength };
}

/** Stores what is known of a segment that is not finished, by its name, as a stream does. */
export async function storeBeginning(
  repository: Repository,
  where: Place,
  segment: string,
  known: Uint8Array,
): Promise<void> {
  const name = parseWalName(segment);
  if (name.kind !== 'segment') throw new Error(`${segment} is no segment`);
  await storePart(repository, where, name, readOnce(known), 1);
}

/** Fills a repository with one of everything: what a copy takes along, and what it leaves. */
export async function fill(repository: Repository): Promise<void> {
  await claim(repository, 1, 'owner');
  await claim(repository, 2, 'spare');
  await storeSegments(repository, 1, 7);
  await storeSegments(repository, 3, 4, { where: { ...place, incarnation: 2 } });
  for (const segment of [2, 4]) await storeWholeBackup(repository, { daysAgo: 8 - segment, segment });
  const set = {
    format: 1 as const,
    id: '20261124T030000Z-00abcd',
    model: 'm',
    application: 'a',
    unit: 'u/0',
    takenAt: at,
    digest: 'd',
    files: [],
    missing: [],
  };
  await storeFileSet(repository, set, () => bytesOf('a tar'), 1);
  await appendRecord(repository, layout.witnesses(place), witnessSchema, { format: 1, at, timeline: 1, lsn: 5n });
  const point = { format: 1 as const, name: 'before', timeline: 1, lsn: 5n, at };
  await appendRecord(repository, layout.restorePoints(place), restorePointSchema, point);
  const hole = { format: 1 as const, timeline: 1, firstSegment: 9, lastSegment: 9, at, why: 'lost' };
  await appendRecord(repository, layout.holes(place), holeSchema, hole);
  const pinned = { format: 1 as const, mark: 'pinned' as const, at, why: 'kept' };
  await appendRecord(repository, `${layout.marks(place)}20261121T000000Z-aaaaaa/`, markSchema, pinned);
  const terms = { job: 'backup-1', kind: 'backup' as const, holder: 'h', backups: [], from: null };
  await takeLease(repository, place, { by: 'owner' }, terms, at);
  await takeLease(repository, place, { by: 'guest', model: 'g', unit: 'g/0' }, terms, at);
  await repository.storage.put(`${layout.probes(place)}x`, bytesOf('probe'));
  // A backup that runs, or died.
  await repository.storage.put(`${layout.backup(place, '20261124T040000Z-00dead')}base.tar.zst.00001`, bytesOf('half'));
  // A claim that died before its owner was written.
  await repository.storage.put(`clusters/${systemIdentifier}/3/guests/README.txt`, bytesOf('nobody'));
}

/** What of an original's objects a whole copy has. */
export function expectedOf(objects: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, string> {
  const left = /\/(leases|probes)\/|\/guests\/(?!README)|00dead|clusters\/\d+\/3\/|^copy\.json$/;
  return new Map(
    [...objects].filter(([key]) => !left.test(key)).map(([key, bytes]) => [key, Buffer.from(bytes).toString('base64')]),
  );
}

/** Every object as text, to be compared. */
export function textsOf(objects: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, string> {
  return new Map([...objects].map(([key, bytes]) => [key, Buffer.from(bytes).toString('base64')]));
}
