import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Owner } from '../../src/core/incarnation.ts';
import { parseSettings } from '../../src/core/settings.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import type { Place } from '../../src/repository/layout.ts';
import { createRepository, type Repository } from '../../src/repository/repository.ts';
import { writeJson } from '../../src/system/files.ts';
import { pinSchema, unitFolder, writeOwnerState, type UnitFolder } from '../../src/system/home.ts';
import { openDestination, writeDestination, type DestinationOptions } from './destinations.ts';

export const mebibyte = 1024 * 1024;
export const testIdentifier = '7000000000000000001';
export const testOwner: Owner = {
  format: 1,
  ownerId: 'owner-a',
  model: 'test-model',
  application: 'test-host',
  unit: '15-main',
  since: new Date('2026-11-24T00:00:00Z'),
  parent: null,
};

/** What a made-up segment says about itself; by default it is what its name says. */
export interface SegmentFacts {
  readonly timeline: number;
  readonly number: number;
  readonly sizeBytes?: number;
  readonly systemIdentifier?: string;
  readonly pageTimeline?: number;
  readonly pageNumber?: number;
  readonly magic?: number;
  /** What the rest of it is filled with. */
  readonly fill?: string;
}

/** The bytes of a segment with a true header and nothing that PostgreSQL could read behind it. */
export function segmentBytes(facts: SegmentFacts): Buffer {
  const size = facts.sizeBytes ?? mebibyte;
  const bytes = Buffer.alloc(size, facts.fill ?? 'wal ');
  bytes.writeUInt16LE(facts.magic ?? 0xd110, 0);
  bytes.writeUInt16LE(0x0002, 2);
  bytes.writeUInt32LE(facts.pageTimeline ?? facts.timeline, 4);
  bytes.writeBigUInt64LE(BigInt(facts.pageNumber ?? facts.number) * BigInt(size), 8);
  bytes.writeUInt32LE(0, 16);
  bytes.writeBigUInt64LE(BigInt(facts.systemIdentifier ?? testIdentifier), 24);
  bytes.writeUInt32LE(size, 32);
  bytes.writeUInt32LE(8192, 36);
  return bytes;
}

/** A unit that owns incarnation 1 of a made-up cluster, in directories of its own. */
export interface WalUnit {
  readonly root: string;
  readonly home: string;
  readonly destination: string;
  readonly url: string;
  readonly dataDirectory: string;
  readonly unit: UnitFolder;
  readonly repository: Repository;
  readonly place: Place;
  /** Writes a file into `pg_wal` and gives back its name and `%p`. */
  write(name: string, bytes: Uint8Array): Promise<{ name: string; path: string }>;
  /** The same for a made-up segment. */
  segment(facts: SegmentFacts): Promise<{ name: string; path: string }>;
  remove(): Promise<void>;
}

/** Makes such a unit; the options may name another place for its repository than a directory of its own, and its encryption. */
export async function makeWalUnit(options: DestinationOptions = {}): Promise<WalUnit> {
  const root = await mkdtemp(join(tmpdir(), 'lb-wal-'));
  // The machine's own clusters are none of these tests' business.
  process.env['PG_CLUSTER_CONF_ROOT'] = join(root, 'conf');
  const [home, destination, dataDirectory] = [join(root, 'home'), join(root, 'destination'), join(root, 'data')];
  for (const folder of [home, destination, dataDirectory]) await mkdir(folder);
  for (const folder of ['pg_wal', 'global']) await mkdir(join(dataDirectory, folder));
  const controlFile = Buffer.alloc(8192);
  controlFile.writeBigUInt64LE(BigInt(testIdentifier));
  await writeFile(join(dataDirectory, 'global', 'pg_control'), controlFile);
  const place: Place = { systemIdentifier: testIdentifier, incarnation: 1 };
  const unit = unitFolder(home, '15-main');
  await mkdir(unit.path);
  const at = { destination: `file://${destination}`, ...options };
  const storage = await openDestination(at, unit.path);
  const { url } = storage;
  const { repository } = await createRepository(storage, new Date(), parseSettings(at).encryption);
  await claimIncarnation(repository, testIdentifier, 1, testOwner);
  await writeDestination(home, at);
  await writeJson(unit.pin, pinSchema, { repositoryId: repository.record.id, url });
  await writeOwnerState(unit, { ownerId: testOwner.ownerId, ...place });
  const write = async (name: string, bytes: Uint8Array) => {
    const path = join('pg_wal', name);
    await writeFile(join(dataDirectory, path), bytes);
    return { name, path };
  };
  return {
    root,
    home,
    destination,
    url,
    dataDirectory,
    unit,
    repository,
    place,
    write,
    segment: async (facts) =>
      await write(segmentName(facts.timeline, facts.number, facts.sizeBytes ?? mebibyte), segmentBytes(facts)),
    remove: async () => {
      await storage.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}
