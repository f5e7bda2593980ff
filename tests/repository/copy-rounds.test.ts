import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { copyRepository } from '../../src/repository/copy.ts';
import { readBackups } from '../../src/repository/catalogue.ts';
import { layout, readGeneration } from '../../src/repository/layout.ts';
import { openRepository } from '../../src/repository/repository.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import {
  contentsOf,
  dyingAt,
  encryptedKeys,
  makeRewrapSite,
  newKey,
  oldKey,
  reading,
  run,
  type RewrapSite,
} from '../jobs/rewrap-site.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import { all } from '../storage/bytes.ts';
import { place, storeSegments, storeWholeBackup } from './copy-site.ts';

const onlyNew = encryptionFor([newKey], [newKey]);
const thirdKey = newAgeKey();
/** From the new key to a third one. */
const changingAgain = encryptionFor([thirdKey], [newKey, oldKey]);
const readingAll = encryptionFor([thirdKey], [thirdKey, newKey, oldKey]);

let site: RewrapSite;
let there: MemoryDestination;
let before: ReadonlyMap<string, string>;

beforeEach(async () => {
  site = await makeRewrapSite();
  there = new MemoryDestination();
  before = await contentsOf(await site.memory.openWith(reading));
});
afterEach(async () => {
  await site.destroy();
});

/**
 * Copies, while something happens at the nth listing of all of the original; two make a round, of records and of data. A listing
 * that is `stale` says what there was before.
 */
async function copyWhile(
  nth: number,
  happens: () => Promise<unknown>,
  { to = there.open(), isStale = false }: { readonly to?: Storage; readonly isStale?: boolean } = {},
): Promise<{ readonly listings: number }> {
  const { storage } = site.memory.repository;
  let listings = 0;
  const list: Storage['list'] = async function* (prefix) {
    if (prefix === '') listings += 1;
    if (prefix !== '' || listings !== nth) {
      yield* storage.list(prefix);
      return;
    }
    const stale = await all(storage.list(prefix));
    await happens();
    yield* isStale ? stale : await all(storage.list(prefix));
  };
  const original = await openRepository({ ...storage, list }, site.memory.repository.record.id, reading);
  const watch = { signal: new AbortController().signal, copied: () => undefined, readBack: () => undefined };
  await copyRepository({ original, copy: to }, watch);
  return { listings };
}

const firstName = (key: string) => readGeneration(key)?.first ?? key;

test('what moves to its next generation in the last round is brought in another one', async () => {
  let isFirst = true;
  const to = there.open();
  const storing: Storage = {
    ...to,
    put: async (key, body, pace) => {
      await to.put(key, body, pace);
      // What comes in the first round, after its listing, is for the second.
      if (isFirst && key.includes('/wal/')) {
        isFirst = false;
        await storeSegments(site.memory.repository, 8, 10);
      }
    },
  };

  await copyWhile(4, async () => await run(await site.context()), { to: storing, isStale: true });

  const wanted = new Set(encryptedKeys(site.memory).map(firstName));
  expect([...wanted].filter((key) => key.includes('/wal/')).length).toBeGreaterThan(10);
  expect(new Set(encryptedKeys(there).map(firstName))).toEqual(wanted);
});

test('what was encrypted anew between two rounds comes with the records that make it count', async () => {
  const { listings } = await copyWhile(3, async () => await run(await site.context()));

  // Otherwise a further round would bring what this one left.
  expect(listings).toBe(4);
  expect(await contentsOf(await openRepository(there.open(), undefined, onlyNew))).toEqual(before);
});

test('a backup that was taken and encrypted anew between two rounds comes in one, its record last', async () => {
  await run(await site.context());
  let id = '';

  const { listings } = await copyWhile(3, async () => {
    ({ id } = await storeWholeBackup(site.memory.repository, { daysAgo: 1, segment: 5 }));
    await run(await site.context({ encryption: encryptionFor([newKey], [oldKey, newKey]) }));
  });

  expect(listings).toBe(4);
  const copied = await openRepository(there.open(), undefined, onlyNew);
  expect((await readBackups(copied, place)).backups.map((each) => each.id)).toContain(id);
  expect(await contentsOf(copied)).toEqual(await contentsOf(await site.memory.openWith(onlyNew)));
});

describe('at any instant of a copy, whoever reads the one that was whole before finds', () => {
  /** Everything that the copy says it has, in clear; fails where it has not. */
  async function found(): Promise<ReadonlyMap<string, string>> {
    return await contentsOf(await openRepository(there.open(), undefined, readingAll));
  }

  /** Copies and dies before each change in turn. */
  async function dying(
    whole: ReadonlyMap<string, Uint8Array>,
    copies: (to: Storage) => Promise<unknown>,
  ): Promise<void> {
    for (let nth = 1; nth < 200; nth += 1) {
      there.objects.clear();
      for (const [key, object] of whole) there.objects.set(key, object);
      const { storage, hasDied } = dyingAt(there.open(), nth);
      await copies(storage).catch(() => undefined);
      const contents = await found().catch((error: unknown) => error);
      expect(contents, `change ${nth}`).toBeInstanceOf(Map);
      if (contents instanceof Map) for (const [name, bytes] of before) expect(contents.get(name), name).toBe(bytes);
      if (!hasDied()) return;
    }
    expect.fail('it never ended');
  }

  test('each backup whole, after two re-encryptions and a new backup', async () => {
    await copyWhile(0, async () => undefined);
    const whole = new Map(there.objects);
    const { id } = await storeWholeBackup(site.memory.repository, { daysAgo: 1, segment: 5 });
    before = await contentsOf(await site.memory.openWith(reading));
    const old = [...before].filter(([name]) => !name.includes(id) && name !== 'wal');
    await run(await site.context());
    await run(await site.context({ encryption: changingAgain }));
    const rewraps = await site.memory.repository.storage.folders(layout.rewraps(layout.backup(place, id)));
    expect(rewraps).toHaveLength(2);
    before = new Map(old);

    await dying(whole, async (to) => await copyWhile(0, async () => undefined, { to }));

    const { backups } = await readBackups(await openRepository(there.open(), undefined, readingAll), place);
    expect(backups.map((each) => each.id)).toContain(id);
  });

  test('each backup whole, where one re-encryption follows the other while it is copied', async () => {
    await copyWhile(0, async () => undefined);
    const whole = new Map(there.objects);
    const old = [...before].filter(([name]) => name !== 'wal');
    await run(await site.context());
    const between = new Map(site.memory.objects);
    before = new Map(old);

    await dying(whole, async (to) => {
      site.memory.objects.clear();
      for (const [key, object] of between) site.memory.objects.set(key, object);
      const again = async () => await run(await site.context({ encryption: changingAgain }));
      await copyWhile(2, again, { to, isStale: true });
    });
  });
});
