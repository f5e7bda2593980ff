import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Encryption } from '../../src/core/encryption.ts';
import { copyRepository } from '../../src/repository/copy.ts';
import { openRepository } from '../../src/repository/repository.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { MemoryDestination } from '../doubles/memory-storage.ts';
import {
  contentsOf,
  dyingAt,
  encryptedKeys,
  makeRewrapSite,
  newKey,
  reading,
  run,
  type RewrapSite,
} from '../jobs/rewrap-site.ts';
import { encryptionFor } from '../setup/age.ts';

const onlyNew = encryptionFor([newKey], [newKey]);

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

async function copy(to: Storage = there.open()): Promise<void> {
  const watch = { signal: new AbortController().signal, copied: () => undefined, readBack: () => undefined };
  await copyRepository({ original: site.memory.repository, copy: to }, watch);
}

async function copied(encryption: Encryption): Promise<ReadonlyMap<string, string>> {
  return await contentsOf(await openRepository(there.open(), undefined, encryption));
}

test('what was encrypted anew is copied as it is, and needs the new identity alone', async () => {
  await run(await site.context());
  await copy();
  expect(encryptedKeys(there)).toEqual(encryptedKeys(site.memory));
  expect(await copied(onlyNew)).toEqual(before);
});

test('a copy from before gets the new objects; the same run at the copy takes the old ones away', async () => {
  await copy();
  await run(await site.context());
  await copy();
  expect(await copied(onlyNew)).toEqual(before);
  expect(encryptedKeys(there).length).toBeGreaterThan(encryptedKeys(site.memory).length);

  await run(await site.context({ wrap: () => there.open(), encryption: onlyNew }));
  expect(encryptedKeys(there)).toEqual(encryptedKeys(site.memory));
  expect(await copied(onlyNew)).toEqual(before);
});

test.each([3, 8, 14, 20, 27, 35])('half of it done, at change %i, the copy is whole', async (nth) => {
  await run(await site.context({ wrap: (storage) => dyingAt(storage, nth).storage })).catch(() => undefined);
  await copy();
  expect(await copied(reading)).toEqual(before);
});

test.each([/owner\.json$/, /base\.tar\.zst\.age\.00002$/, /03\.zst\.age$/, /backup\.json$/, /files\.json$/])(
  'where it is all done while the copy is at %s, the copy is whole',
  async (at) => {
    let isDone = false;
    const to = there.open();
    await copy({
      ...to,
      put: async (key, body) => {
        if (!isDone && at.test(key)) {
          isDone = true;
          await run(await site.context());
        }
        await to.put(key, body);
      },
    });
    expect(isDone).toBe(true);
    expect(await copied(reading)).toEqual(before);
  },
);

test('a copy never takes a record of what is not in it', async () => {
  await copy();
  await run(await site.context());
  const to = there.open();
  const failing = {
    ...to,
    put: async (key: string, body: AsyncIterable<Uint8Array>) => {
      if (key.includes('base.tar.zst.2.age')) throw new Error('full');
      await to.put(key, body);
    },
  };
  await expect(copy(failing)).rejects.toThrow('full');
  expect(await copied(reading)).toEqual(before);
  await copy();
  expect(await copied(onlyNew)).toEqual(before);
});

test('a later generation that is damaged is found on the way', async () => {
  await run(await site.context());
  const key = encryptedKeys(site.memory).find((each) => each.endsWith('03.zst.2.age')) ?? '';
  const stored = Buffer.from(site.memory.objects.get(key) ?? []);
  stored[stored.byteLength - 1] = (stored.at(-1) ?? 0) ^ 1;
  site.memory.objects.set(key, stored);
  await expect(copy()).rejects.toMatchObject({ kind: 'damaged', message: expect.stringContaining(key) });
});
