import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backupSchema, type Backup, type Part } from '../../src/core/backup.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import type { PruneContext } from '../../src/jobs/prune-plan.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { layout, walKey, type Place } from '../../src/repository/layout.ts';
import { createRepository, openRepository, type Repository } from '../../src/repository/repository.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { makePrivateFolder, unitFolder, writeOwnerState, type UnitFolder } from '../../src/system/home.ts';
import { backup, now as builtNow, segmentSize } from '../core/catalogue-builder.ts';
import { fixedClock } from '../doubles/fixed-clock.ts';
import { openDestination, readDestination, writeDestination, type DestinationOptions } from '../setup/destinations.ts';

const systemIdentifier = '7000000000000000001';

/** A repository at a real destination with one owner, and the owner's unit. */
export interface Site {
  readonly root: string;
  readonly storage: Storage;
  readonly repository: Repository;
  readonly place: Place;
  readonly unit: UnitFolder;
  readonly clock: ReturnType<typeof fixedClock>;
  destroy(): Promise<void>;
}

/** Makes a site whose clocks all stand at the built catalogues' `now`; in a directory of its own unless it is told a place. */
export async function makeSite(options?: DestinationOptions): Promise<Site> {
  const root = await mkdtemp(join(tmpdir(), 'prune-'));
  await mkdir(join(root, 'destination'));
  await writeDestination(root, options ?? { destination: `file://${join(root, 'destination')}` });
  const clock = fixedClock(builtNow);
  const storage = withClock(await openAt(root), () => clock.now());
  const { repository } = await createRepository(storage, builtNow);
  const place = { systemIdentifier, incarnation: 1 };
  const unit = await makeUnit(root, '15-main', 'owner');
  await claimIncarnation(repository, systemIdentifier, 1, {
    format: 1,
    ownerId: 'owner',
    model: 'model',
    application: 'production',
    unit: '15-main',
    since: new Date(0),
    parent: null,
  });
  const destroy = async () => {
    await storage.close();
    await rm(root, { recursive: true });
  };
  return { root, storage, repository, place, unit, clock, destroy };
}

/** A unit's folder that says who its cluster belongs to; without an owner id it owns nothing. */
export async function makeUnit(root: string, name: string, ownerId: string | undefined): Promise<UnitFolder> {
  const unit = unitFolder(join(root, 'home'), name);
  await makePrivateFolder(unit.path);
  if (ownerId !== undefined) await writeOwnerState(unit, { ownerId, systemIdentifier, incarnation: 1 });
  return unit;
}

/** Opens the destination that a site's settings name. */
export async function openAt(root: string): Promise<Storage> {
  return await openDestination(await readDestination(root), join(root, 'private'));
}

/** Opens the repository of a site again, as another process would. */
export async function reopen(root: string, now: () => Date, wrap = (storage: Storage) => storage): Promise<Repository> {
  return await openRepository(wrap(withClock(await openAt(root), now)), undefined);
}

/** The same storage with another clock. */
function withClock(inner: Storage, now: () => Date): Storage {
  return {
    url: inner.url,
    put: async (key, body) => await inner.put(key, body),
    get: async (key, range) => await inner.get(key, range),
    list: (prefix) => inner.list(prefix),
    folders: async (prefix) => await inner.folders(prefix),
    remove: async (key) => await inner.remove(key),
    sweep: async (prefix, before) => await inner.sweep(prefix, before),
    freeBytes: async () => await inner.freeBytes(),
    clock: async () => now(),
    mayPut: async (prefix) => await inner.mayPut(prefix),
    remarks: async () => await inner.remarks(),
    close: async () => await inner.close(),
  };
}

/** What a prune at a site works with; the server's clock agrees and it is on timeline 1. */
export function pruneContext(
  { repository, unit, clock }: Pick<Site, 'repository' | 'unit' | 'clock'>,
  policy: { readonly count: number; readonly days: number },
  more: Partial<PruneContext> = {},
): PruneContext {
  return {
    unit,
    repository,
    settings: { retentionCount: policy.count, retentionDays: policy.days, backupSchedule: undefined },
    hostZone: 'UTC',
    clock,
    server: async () => ({ at: clock.now(), timeline: 1 }),
    ...more,
  };
}

/** Stores a complete backup with three parts, as old as the sketch says. */
export async function storeBackup({ repository, place }: Site, sketch: Parameters<typeof backup>[0]): Promise<Backup> {
  const built = backup(sketch);
  const parts: Part[] = [];
  for (const name of ['base.tar.zst.00001', 'base.tar.zst.00002', 'backup_manifest.zst']) {
    const contents = `${built.id} ${name}`;
    await repository.storage.put(layout.backup(place, built.id) + name, bytesOf(contents));
    parts.push({ name, sizeBytes: contents.length, sha256: createHash('sha256').update(contents).digest('hex') });
  }
  const whole = {
    ...built,
    archives: [{ oid: null, location: null, parts: parts.slice(0, 2) }],
    manifest: parts[2] ?? null,
  };
  await repository.writeJson(layout.backupRecord(place, built.id), backupSchema, whole);
  return whole;
}

/** Stores segments of timeline 1, both ends included. */
export async function storeSegments({ repository, place }: Site, first: number, last: number): Promise<void> {
  for (let segment = first; segment <= last; segment += 1) {
    await repository.storage.put(walKey(place, segmentName(1, segment, segmentSize)), bytesOf('segment'));
  }
}

/** One backup a day, the newest six hours old, at segments 3, 6, 9, …, with all their WAL. */
export async function storeDaily(site: Site, days: number): Promise<void> {
  for (let day = 1; day <= days; day += 1) await storeBackup(site, { daysAgo: days - day + 0.25, segment: day * 3 });
  await storeSegments(site, 1, days * 3 + 2);
}

/** Every object with its bytes' length. */
export async function objectsOf(storage: Storage, prefix = ''): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { key, sizeBytes } of storage.list(prefix)) found.push(`${key} ${sizeBytes}`);
  return found;
}

/** The same storage, with something happening right after each call that changes it. */
export function watch(inner: Storage, after: (call: 'put' | 'remove', key: string) => Promise<void>): Storage {
  return {
    url: inner.url,
    put: async (key, body) => {
      await inner.put(key, body);
      await after('put', key);
    },
    remove: async (key) => {
      await inner.remove(key);
      await after('remove', key);
    },
    get: async (key, range) => await inner.get(key, range),
    list: (prefix) => inner.list(prefix),
    folders: async (prefix) => await inner.folders(prefix),
    sweep: async (prefix, before) => await inner.sweep(prefix, before),
    freeBytes: async () => await inner.freeBytes(),
    clock: async () => await inner.clock(),
    mayPut: async (prefix) => await inner.mayPut(prefix),
    remarks: async () => await inner.remarks(),
    close: async () => await inner.close(),
  };
}
