import { afterEach, beforeEach, expect, test } from 'vitest';
import { runRewrap, planRewrap, type RewrapContext } from '../../src/jobs/rewrap.ts';
import { layout } from '../../src/repository/layout.ts';
import { takeLease } from '../../src/repository/leases.ts';
import { openRepository } from '../../src/repository/repository.ts';
import { unitFolderAt } from '../../src/system/home.ts';
import { fixedClock } from '../doubles/fixed-clock.ts';
import { faultyStorage, type Fault } from '../doubles/faulty-storage.ts';
import { encryptionFor, newAgeKey } from '../setup/age.ts';
import { atThree } from './memory-repository.ts';
import { claim, place, storeSegments, storeWholeBackup } from './copy-site.ts';
import { makeDoubledSite, type DoubledSite } from './doubled-site.ts';

const [oldKey, newKey] = [newAgeKey(), newAgeKey()];
const away: Fault[] = [{ on: 'put', do: 'fail-before' }];

let site: DoubledSite;
let folder: string;
beforeEach(async () => {
  site = await makeDoubledSite(encryptionFor([oldKey]));
  const repository = await site.open();
  await claim(repository, 1, 'owner');
  await storeSegments(repository, 1, 3);
});
afterEach(async () => {
  await site.destroy();
});

/** Stores a backup, and encrypts everything anew while the second is away. */
async function storeAndRewrap(isSecondThere: boolean): Promise<void> {
  const apart = await site.open({ second: (storage) => faultyStorage(storage, away) });
  const backup = await storeWholeBackup(isSecondThere ? await site.open() : apart, { daysAgo: 1, segment: 2 });
  folder = layout.backup(place, backup.id);
  // A restore that reads it keeps the earlier generation beside the new one.
  const terms = { job: 'restore', kind: 'restore' as const, holder: 'g/0', backups: [backup.id], from: null };
  await takeLease(apart, place, { by: 'guest', model: 'g', unit: 'g/0' }, terms, atThree);
  const context: RewrapContext = {
    unit: unitFolderAt(site.path),
    repository: await openRepository(apart.storage, site.id, encryptionFor([newKey], [oldKey])),
    settings: { uploadBytesPerSecond: undefined },
    clock: fixedClock(atThree),
    progress: () => undefined,
  };
  const fileSets = { model: 'm', application: 'a', unit: 'u/0' };
  const scope = { places: [place], fileSets, home: undefined, prove: async () => await Promise.resolve() };
  const { id } = await planRewrap(context, scope);
  expect(await runRewrap(context, scope, id)).toMatchObject({ is: 'rewrapped', rewrapped: { left: 2 } });
}

/** Turns one bit of an object at the first; gives back how to turn it again. */
function damage(key: string): () => void {
  const turn = () => {
    const stored = Buffer.from(site.first.objects.get(key) ?? []);
    expect(stored.byteLength, key).toBeGreaterThan(0);
    stored[stored.byteLength - 1] = (stored.at(-1) ?? 0) ^ 1;
    site.first.objects.set(key, stored);
  };
  turn();
  return turn;
}

async function refusesToBring(key: string): Promise<void> {
  await expect(site.settle()).rejects.toMatchObject({ kind: 'damaged', message: expect.stringContaining(key) });
  expect(site.second.objects.has(key)).toBe(false);
  expect(await site.folder.keys('second')).toContain(key);
}

test.each(['base.tar.zst.2.age.00001', 'backup_manifest.2.age'])(
  'a part that was encrypted anew and is damaged (%s) is not brought over, nor a record that names it',
  async (name) => {
    await storeAndRewrap(true);
    const key = `${folder}${name}`;
    expect(await site.folder.keys('second')).toContain(key);
    const mend = damage(key);

    await refusesToBring(key);
    expect([...site.second.objects.keys()].filter((each) => each.startsWith(layout.rewraps(folder)))).toEqual([]);

    mend();
    await site.settle();
    expect(site.second.objects.get(key)).toEqual(site.first.objects.get(key));
    expect(await site.folder.keys('second')).toEqual([]);
  },
);

test('neither is an earlier generation that is noted still, whatever the record of the re-encryption says', async () => {
  await storeAndRewrap(false);
  const key = `${folder}base.tar.zst.age.00001`;
  const mend = damage(key);
  await refusesToBring(key);

  site.first.objects.set(`${layout.rewraps(folder)}00000001.json`, Buffer.from('{'));
  await refusesToBring(key);

  mend();
  await site.settle();
  expect(site.second.objects.get(key)).toEqual(site.first.objects.get(key));
});
