import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { backupSchema } from '../../src/core/backup.ts';
import { Failure, isFailure } from '../../src/core/failure.ts';
import { rewrapSchema, witnessSchema } from '../../src/core/record.ts';
import { layout, readGeneration } from '../../src/repository/layout.ts';
import { appendRecord } from '../../src/repository/records.ts';
import { openRepository, type Repository } from '../../src/repository/repository.ts';
import { readWal } from '../../src/repository/wal-store.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { LackingFolder, type Side } from '../../src/system/lacking.ts';
import { faultyStorage, type Fault } from '../doubles/faulty-storage.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import { all, bytes } from '../storage/bytes.ts';
import { claim, place, plainOf, storeSegments, storeWholeBackup } from './copy-site.ts';
import { makeDoubledSite, type DoubledSite } from './doubled-site.ts';

/** One thing that a unit does, what is wrong with either destination meanwhile, and when it is killed. */
interface Act {
  readonly do: 'wal' | 'wal-again' | 'backup' | 'witness' | 'lease' | 'rewrap' | 'settle' | 'look';
  readonly first: Ill;
  readonly second: Ill;
  /** So many steps it lives: calls of destinations, and of its notes. */
  readonly lives: number;
}

type Ill = 'well' | 'down' | 'answers-lost' | 'breaks' | 'silent';

const ill: fc.Arbitrary<Ill> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Ill>('well') },
  { weight: 2, arbitrary: fc.constant<Ill>('down') },
  { weight: 1, arbitrary: fc.constantFrom<Ill>('answers-lost', 'breaks') },
  { weight: 1, arbitrary: fc.constant<Ill>('silent') },
);

const act: fc.Arbitrary<Act> = fc.record({
  do: fc.oneof(
    { weight: 5, arbitrary: fc.constant('wal' as const) },
    {
      weight: 4,
      arbitrary: fc.constantFrom('wal-again' as const, 'backup' as const, 'witness' as const, 'lease' as const),
    },
    { weight: 4, arbitrary: fc.constantFrom('settle' as const, 'look' as const, 'rewrap' as const) },
  ),
  first: ill,
  second: ill,
  lives: fc.oneof({ weight: 2, arbitrary: fc.constant(1000) }, { weight: 1, arbitrary: fc.nat({ max: 25 }) }),
});

/** Who could store and read, one after the other. */
const keys = [newAgeKey(), newAgeKey()] as const;
const encryptionTo = (turn: number) => encryptionFor([keys[turn % 2 === 0 ? 0 : 1]], keys);

/** Histories of a unit with two destinations, half of them encrypted. */
export async function tellHistories(numRuns: number): Promise<void> {
  const acts = fc.array(act, { minLength: 3, maxLength: 14 });
  await fc.assert(
    fc.asyncProperty(fc.boolean(), acts, async (isEncrypted, each) => {
      const site = await makeDoubledSite(isEncrypted ? encryptionTo(0) : undefined);
      try {
        await tell(site, isEncrypted, each);
      } finally {
        await site.destroy();
      }
    }),
    // A history is short; what it takes to make it shorter still is better spent on others.
    { numRuns, endOnFailure: true },
  );
}

/** A process that dies after so many steps: nothing that it would do after that happens. */
class Life {
  #left: number;

  constructor(lives: number) {
    this.#left = lives;
  }

  step(): void {
    this.#left -= 1;
    if (this.#left < 0) throw new Failure('internal', 'killed');
  }

  storage(inner: Storage): Storage {
    const live = async <T>(work: () => Promise<T>): Promise<T> => {
      this.step();
      return await work();
    };
    return {
      ...inner,
      put: async (key, body) => {
        await live(async () => {
          await inner.put(key, this.#mortal(body));
        });
      },
      get: async (key, range) => await live(async () => await inner.get(key, range)),
      folders: async (prefix) => await live(async () => await inner.folders(prefix)),
      remove: async (key) => {
        await live(async () => {
          await inner.remove(key);
        });
      },
    };
  }

  /** Who is dead gives no bytes: what waits for the end of a body must not get it. */
  async *#mortal(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const chunk of body) {
      if (this.#left < 0) throw new Failure('internal', 'killed');
      yield chunk;
    }
    if (this.#left < 0) throw new Failure('internal', 'killed');
  }
}

class MortalFolder extends LackingFolder {
  readonly #life: Life;

  constructor(path: string, life: Life) {
    super(path);
    this.#life = life;
  }

  override async add(...args: Parameters<LackingFolder['add']>): Promise<void> {
    this.#life.step();
    await super.add(...args);
  }

  override async drop(side: Side, key: string): Promise<void> {
    this.#life.step();
    await super.drop(side, key);
  }

  override async setAway(...args: Parameters<LackingFolder['setAway']>): Promise<void> {
    this.#life.step();
    await super.setAway(...args);
  }
}

function faultsOf(is: Ill): readonly Fault[] {
  const calls = ['put', 'get', 'list', 'folders', 'remove'] as const;
  switch (is) {
    case 'well':
      return [];
    case 'down':
      return calls.map((on) => ({ on, do: 'fail-before' }));
    case 'answers-lost':
      return [{ on: 'put', do: 'fail-after' }];
    case 'breaks':
      return [{ on: 'put', do: 'break', afterBytes: 40 }];
    case 'silent':
      return calls.map((on) => ({ on, do: 'stall', release: sleep(60) }));
  }
}

/** What was told as stored, each under its first name. */
interface Told {
  readonly isEncrypted: boolean;
  segments: number;
  readonly keys: Set<string>;
}

async function tell(site: DoubledSite, isEncrypted: boolean, acts: readonly Act[]): Promise<void> {
  await claim(await site.open(), 1, 'owner');
  const told: Told = { isEncrypted, segments: 0, keys: new Set([layout.owner(place)]) };
  for (const [index, each] of acts.entries()) {
    const life = new Life(each.lives);
    const folder = new MortalFolder(site.path, life);
    const between = {
      first: (storage: Storage) => life.storage(faultyStorage(storage, faultsOf(each.first))),
      second: (storage: Storage) => life.storage(faultyStorage(storage, faultsOf(each.second))),
      stallMs: 15,
      folder,
    };
    try {
      if (each.do === 'settle') await site.settle(between);
      else if (each.do === 'look') await lookAgain(site);
      else if (each.do === 'rewrap' && isEncrypted) await site.rewrap(encryptionTo(index + 1), between);
      else await perform(await site.open(between), each.do, told, index);
    } catch (error) {
      const isBusy = each.do === 'rewrap' && isFailure(error, 'busy');
      if (!isBusy && !isFailure(error, 'unavailable', 'internal')) throw error;
      // It may be told as the second's.
      if (isFailure(error, 'internal') && !/^(?:the second destination: )?killed$/.test(error.message)) throw error;
    }
    await holds(site, told);
  }
  await site.settle();
  await lookAgain(site);
  for (const key of told.keys) {
    const [first, second] = [counting(site.first.objects, key), counting(site.second.objects, key)];
    expect(first, `${key} at the first`).toBeDefined();
    if (told.isEncrypted && key.includes('/wal/')) expect(second, `${key} at the second`).toBeDefined();
    else expect(second, `${key} at the second`).toEqual(first);
  }
  for (const destination of [site.first, site.second]) {
    const repository = await openRepository(destination.open(), site.id, isEncrypted ? encryptionTo(0) : undefined);
    for (let number = 1; number <= told.segments; number += 1) {
      expect(await bytes(readWal(repository, segmentKey(told, number)))).toEqual(plainOf(number));
    }
  }
  expect([await site.folder.keys('first'), await site.folder.keys('second')]).toEqual([[], []]);
}

async function lookAgain({ folder }: DoubledSite): Promise<void> {
  await folder.clearAway('first');
  await folder.clearAway('second');
}

async function perform(repository: Repository, what: Act['do'], told: Told, index: number): Promise<void> {
  const at = new Date();
  if (what === 'wal' || what === 'wal-again') {
    const number = what === 'wal' ? told.segments + 1 : Math.max(1, told.segments);
    await storeSegments(repository, number, number);
    told.segments = Math.max(told.segments, number);
    told.keys.add(segmentKey(told, number));
  } else if (what === 'backup') {
    const backup = await storeWholeBackup(repository, { daysAgo: 1, segment: 100 + index });
    const parts = backup.archives.flatMap((archive) => archive.parts.map(({ name }) => name));
    const folder = layout.backup(place, backup.id);
    const manifest = backup.manifest?.name ?? 'there is none';
    for (const name of [...parts, 'backup.json', manifest]) told.keys.add(folder + name);
  } else if (what === 'lease') {
    const key = `${layout.leases(place)}job-${index}/00000001.json`;
    await repository.storage.put(key, one());
    told.keys.add(key);
  } else {
    const record = { format: 1 as const, at, timeline: 1, lsn: BigInt(index) };
    const number = await appendRecord(repository, layout.witnesses(place), witnessSchema, record);
    told.keys.add(`${layout.witnesses(place)}${String(number).padStart(8, '0')}.json`);
  }
}

async function* one(): AsyncIterable<Uint8Array> {
  yield Buffer.from('{}');
}

function segmentKey({ isEncrypted }: Told, number: number): string {
  const suffix = isEncrypted ? '.age' : '';
  return `${layout.wal(place)}00000001/00000000/0000000100000000000000${number.toString(16).toUpperCase().padStart(2, '0')}.zst${suffix}`;
}

type Objects = ReadonlyMap<string, Uint8Array>;

/** The keys under which an object may be called by now. */
function namesOf(keys: Iterable<string>, key: string): readonly string[] {
  return [...keys].filter((each) => each === key || readGeneration(each)?.first === key);
}

/** The bytes that count of an object: those of its highest generation. */
function counting(objects: Objects, key: string): Uint8Array | undefined {
  const number = (each: string) => readGeneration(each)?.number ?? 1;
  const [highest = key] = [...namesOf(objects.keys(), key)].sort((a, b) => number(b) - number(a));
  return objects.get(highest);
}

/** Tells whether a part of a backup is called otherwise, and is there. */
function saysOtherwise(objects: Objects, folder: string, name: string): boolean {
  const records = [...objects].filter(([key]) => key.startsWith(`${folder}rewrap/`) && key.endsWith('.json'));
  const parts = records.flatMap(([, record]) => rewrapSchema.parse(JSON.parse(Buffer.from(record).toString())).parts);
  return parts.some((part) => readGeneration(part.name)?.first === name && objects.has(folder + part.name));
}

/** Whatever happened up to now: nothing that was told is in neither, and what one lacks is noted. */
async function holds(site: DoubledSite, told: Told): Promise<void> {
  const lacking = { first: await site.folder.keys('first'), second: await site.folder.keys('second') };
  const [first, second] = [site.first.objects, site.second.objects];
  for (const key of told.keys) {
    const [isAtFirst, isAtSecond] = [first, second].map((each) => counting(each, key) !== undefined);
    expect(isAtFirst === true || isAtSecond === true, `${key} is somewhere`).toBe(true);
    if (isAtFirst !== true) expect(namesOf(lacking.first, key), `${key} is noted`).not.toEqual([]);
    if (isAtSecond !== true) expect(namesOf(lacking.second, key), `${key} is noted`).not.toEqual([]);
  }
  for (const [key, there] of second) {
    // Of what is encrypted each try makes other bytes; that they open to the same is looked at in the end.
    const isSame = !key.includes('/witness/') && !(told.isEncrypted && key.includes('/wal/'));
    if (first.has(key) && isSame) expect(there, key).toEqual(first.get(key));
    if (!key.endsWith('/backup.json')) continue;
    const { archives } = backupSchema.parse(JSON.parse(Buffer.from(there).toString()));
    const folder = key.slice(0, -'backup.json'.length);
    for (const { name } of archives.flatMap(({ parts }) => parts)) {
      const isThere = second.has(folder + name) || saysOtherwise(second, folder, name);
      expect(isThere, `${key} is at the second, and ${name}, or what says how that is called now`).toBe(true);
    }
  }
  // Whoever opens both when nothing is wrong sees all WAL that was told.
  const listed = new Set((await all((await site.open()).storage.list(layout.wal(place)))).map(({ key }) => key));
  for (const key of told.keys) if (key.includes('/wal/')) expect(namesOf(listed, key), key).not.toEqual([]);
}
