import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../../src/core/failure.ts';
import type { Encryption } from '../../src/core/encryption.ts';
import type { FileSet } from '../../src/core/record.ts';
import { parseWalName, segmentName } from '../../src/core/wal-name.ts';
import { planRewrap, runRewrap, type RewrapContext, type RewrapOutcome } from '../../src/jobs/rewrap.ts';
import { ownScope, type RewrapPlan } from '../../src/jobs/rewrap-plan.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { listFileSets, readFileSet, storeFileSet } from '../../src/repository/file-sets.ts';
import { layout } from '../../src/repository/layout.ts';
import { readParts } from '../../src/repository/parts.ts';
import { openRepository, type Repository } from '../../src/repository/repository.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import { readPart } from '../../src/repository/wal-parts.ts';
import { readWal, storeWal, walKeyIn } from '../../src/repository/wal-store.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { now, segmentSize } from '../core/catalogue-builder.ts';
import { fixedClock } from '../doubles/fixed-clock.ts';
import {
  claim,
  place,
  storeBeginning,
  storeSegments,
  storeWholeBackup,
  systemIdentifier,
} from '../repository/copy-site.ts';
import { memoryRepository, type MemoryRepository } from '../repository/memory-repository.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import { bytes, noise } from '../storage/bytes.ts';
import { makeUnit } from './prune-site.ts';

export const oldKey = newAgeKey();
export const newKey = newAgeKey();
/** To the new recipient, with what opens what is there. */
export const changing = encryptionFor([newKey], [oldKey]);
/** Reads what is from before and from after. */
export const reading = encryptionFor([newKey], [newKey, oldKey]);
const fileSets = { model: 'm', application: 'a', unit: 'u/0' };
const set: FileSet = {
  format: 1,
  id: '20261124T030000Z-00abcd',
  ...fileSets,
  takenAt: now,
  digest: 'd',
  files: [],
  missing: [],
};
/** A beginning of the segment after the last one. */
export const partLength = 3000;

/** A repository in memory that is encrypted to the old key and holds one of everything that is, and its owner's unit. */
export interface RewrapSite {
  readonly memory: MemoryRepository;
  readonly root: string;
  /** What a run works with; by another handle on the repository where one is given. */
  context(options?: {
    readonly encryption?: Encryption;
    readonly wrap?: (storage: Storage) => Storage;
    readonly unit?: string;
  }): Promise<RewrapContext>;
  destroy(): Promise<void>;
}

export async function makeRewrapSite(): Promise<RewrapSite> {
  const root = await mkdtemp(join(tmpdir(), 'rewrap-'));
  const memory = await memoryRepository(encryptionFor([oldKey]));
  await fill(memory.repository, root);
  const clock = fixedClock(now);
  return {
    memory,
    root,
    context: async ({ encryption = changing, wrap = (storage: Storage) => storage, unit = 'owner' } = {}) => ({
      unit: await makeUnit(root, unit, unit === 'copy' ? undefined : 'owner'),
      repository: await openRepository(wrap(memory.repository.storage), memory.repository.record.id, encryption),
      settings: { uploadBytesPerSecond: undefined },
      clock,
      signal: new AbortController().signal,
      progress: () => undefined,
    }),
    destroy: async () => {
      await rm(root, { recursive: true });
    },
  };
}

async function fill(repository: Repository, root: string): Promise<void> {
  await claim(repository, 1, 'owner');
  await storeSegments(repository, 1, 5);
  const path = join(root, 'wal');
  for (const name of [
    `${segmentName(1, 2, segmentSize)}.00000028.backup`,
    `${segmentName(1, 6, segmentSize)}.partial`,
  ]) {
    await writeFile(path, `what ${name} holds`);
    await storeWal(repository, place, parseWalName(name), path, 1);
  }
  await writeFile(path, '1\t0/3000000\tno recovery target specified\n');
  await storeWal(repository, place, parseWalName('00000002.history'), path, 1);
  // What is known of the segment after the last one.
  await storeBeginning(repository, place, segmentName(1, 7, segmentSize), noise(partLength));
  for (const segment of [2, 4]) await storeWholeBackup(repository, { daysAgo: 8 - segment, segment });
  await storeFileSet(repository, set, () => bytesOf('a tar'), 1);
}

/** Plans what the unit may do. */
export async function plan(context: RewrapContext): Promise<RewrapPlan> {
  return await planRewrap(context, await ownScope(context.unit, context.repository, fileSets));
}

/** Plans and does it. */
export async function run(context: RewrapContext): Promise<RewrapOutcome> {
  const scope = await ownScope(context.unit, context.repository, fileSets);
  return await runRewrap(context, scope, (await planRewrap(context, scope)).id);
}

/** All that a repository holds of secrets, in clear, by what it is and not by what it is called. */
export async function contentsOf(repository: Repository): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const add = async (name: string, body: AsyncIterable<Uint8Array>) => {
    found.set(name, (await bytes(body)).toString('base64'));
  };
  const names = [1, 2, 3, 4, 5].map((number) => segmentName(1, number, segmentSize));
  const others = [`${names[1] ?? ''}.00000028.backup`, `${segmentName(1, 6, segmentSize)}.partial`, '00000002.history'];
  for (const name of [...names, ...others]) await add(name, readWal(repository, walKeyIn(repository, place, name)));
  const beginning = { name: segmentName(1, 7, segmentSize), length: partLength, segmentSize: 4096 };
  await add('a beginning', readPart(repository, place, beginning));
  const [incarnation] = (await readCatalogue(repository, systemIdentifier)).incarnations;
  for (const { id, archives, manifest } of incarnation?.backups ?? []) {
    const folder = layout.backup(place, id);
    for (const { parts } of archives) await add(`${id} archive`, readParts(repository, folder, parts));
    if (manifest !== null) await add(`${id} manifest`, readParts(repository, folder, [manifest]));
  }
  found.set('wal', JSON.stringify([...(incarnation?.wal.timelines ?? [])]));
  for (const each of await listFileSets(repository, fileSets)) await add(each.id, readFileSet(repository, each));
  return found;
}

/** The names of all encrypted objects. */
export function encryptedKeys({ objects }: Pick<MemoryRepository, 'objects'>): readonly string[] {
  return [...objects.keys()].filter((key) => key.includes('.age')).sort();
}

/** The same storage for a process that dies before its nth change: from then on nothing is done any more. */
export function dyingAt(inner: Storage, nth: number): { storage: Storage; hasDied(): boolean } {
  let changes = 0;
  const failIfDead = () => {
    if (changes >= nth) throw new Failure('unavailable', 'killed');
  };
  const change = async (work: () => Promise<void>): Promise<void> => {
    changes += 1;
    failIfDead();
    await work();
  };
  const storage: Storage = {
    ...inner,
    put: async (key, body, pace) => await change(async () => await inner.put(key, body, pace)),
    remove: async (key) => await change(async () => await inner.remove(key)),
    get: async (key, range) => {
      failIfDead();
      return await inner.get(key, range);
    },
  };
  return { storage, hasDied: () => changes >= nth };
}
