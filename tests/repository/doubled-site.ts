import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Encryption } from '../../src/core/encryption.ts';
import { bringOver } from '../../src/repository/bring-over.ts';
import { copyRepository } from '../../src/repository/copy.ts';
import { DoubledStorage } from '../../src/repository/doubled-storage.ts';
import { planRewrap, runRewrap } from '../../src/jobs/rewrap.ts';
import { ownScope } from '../../src/jobs/rewrap-plan.ts';
import { createRepository, openRepository, type Repository } from '../../src/repository/repository.ts';
import { LazyPlace, TwoPlaces } from '../../src/repository/second-place.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { LackingFolder } from '../../src/system/lacking.ts';
import { fixedClock } from '../doubles/fixed-clock.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import { makeUnit } from '../jobs/prune-site.ts';
import { atThree } from './memory-repository.ts';

/** Two destinations in memory, the second of which is a whole copy of the first, and the folder of the unit that writes to both. */
export interface DoubledSite {
  readonly first: MemoryDestination;
  readonly second: MemoryDestination;
  readonly folder: LackingFolder;
  /** Where it lies. */
  readonly path: string;
  readonly id: string;
  /** Opens both as a unit does, through what lies between. */
  open(between?: Between): Promise<Repository>;
  /** Brings over what either lacks, with nothing wrong but what is given. */
  settle(between?: Pick<Between, 'first' | 'second' | 'folder'>): Promise<void>;
  /** Encrypts anew all that is stored, as its owner does; to other recipients than before, with what opens all of it. */
  rewrap(encryption: Encryption, between?: Between): Promise<void>;
  destroy(): Promise<void>;
}

/** What lies between the unit and its destinations. */
interface Between {
  readonly first?: (storage: Storage) => Storage;
  readonly second?: (storage: Storage) => Storage;
  readonly stallMs?: number;
  /** The unit's notes as this process sees them. */
  readonly folder?: LackingFolder;
  /** Other keys than the site's. */
  readonly encryption?: Encryption;
}

const nobodyWaits = { signal: new AbortController().signal, isEnough: () => false };

export async function makeDoubledSite(encryption?: Encryption): Promise<DoubledSite> {
  const path = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'lb-doubled-'));
  const [first, second] = [new MemoryDestination('memory://first'), new MemoryDestination('memory://second')];
  const folder = new LackingFolder(path);
  const { repository } = await createRepository(first.open(), atThree, encryption);
  const { id } = repository.record;
  const open: DoubledSite['open'] = async (between = {}) => {
    const { first: one = same, second: other = same, stallMs = 1000, folder: notes = folder } = between;
    const places = new TwoPlaces(
      new LazyPlace('memory://first', async () => one(first.open())),
      new LazyPlace('memory://second', async () => other(second.open())),
      notes,
      stallMs,
    );
    return await openRepository(new DoubledStorage(places, { stallMs }), id, between.encryption ?? encryption);
  };
  const fill = async () => {
    await copyRepository(
      { original: repository, copy: second.open() },
      { signal: nobodyWaits.signal, copied: () => undefined, readBack: () => undefined },
      { isEnough: () => false },
    );
    await folder.setFilled({ url: 'memory://second', repositoryId: id, at: new Date().toISOString() });
  };
  await fill();
  return {
    first,
    second,
    folder,
    path,
    id,
    open,
    settle: async ({ first: one = same, second: other = same, folder: notes = folder } = {}) => {
      const original = await openRepository(one(first.open()), id, encryption);
      const copy = await openRepository(other(second.open()), id, encryption);
      const there = await bringOver({ original, copy: copy.storage }, notes, 'second', nobodyWaits);
      const back = await bringOver({ original: copy, copy: original.storage }, notes, 'first', nobodyWaits);
      await notes.clearAway('first');
      await notes.clearAway('second');
      const [failure] = [...there.failures, ...back.failures];
      if (failure !== undefined) throw failure;
    },
    rewrap: async (keys, between) => {
      const scope = { model: 'm', application: 'a', unit: 'u/0' };
      const unit = await makeUnit(path, 'unit', 'owner');
      const repository = await open({ ...between, encryption: keys });
      const settings = { uploadBytesPerSecond: undefined };
      const context = { unit, repository, settings, clock: fixedClock(atThree), progress: () => undefined };
      const own = await ownScope(unit, repository, scope);
      await runRewrap(context, own, (await planRewrap(context, own)).id);
    },
    destroy: async () => {
      await rm(path, { recursive: true, force: true });
    },
  };
}

function same(storage: Storage): Storage {
  return storage;
}
