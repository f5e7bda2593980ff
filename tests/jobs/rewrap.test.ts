import { execaSync } from 'execa';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { noEncryption } from '../../src/core/encryption.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import { deleteWal, deleteBackup, type Deleter } from '../../src/jobs/prune-delete.ts';
import { planRewrap, runRewrap } from '../../src/jobs/rewrap.ts';
import { ownScope } from '../../src/jobs/rewrap-plan.ts';
import { readBackups } from '../../src/repository/catalogue.ts';
import { layout, readGeneration } from '../../src/repository/layout.ts';
import { takeLease } from '../../src/repository/leases.ts';
import { proveOpens, readParts } from '../../src/repository/parts.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { readJournal } from '../../src/system/journal.ts';
import { now, segmentSize } from '../core/catalogue-builder.ts';
import { place, storeSegments, systemIdentifier } from '../repository/copy-site.ts';
import { encryptionFor } from '../setup/age.ts';
import { bytes, gate } from '../storage/bytes.ts';
import {
  changing,
  contentsOf,
  dyingAt,
  encryptedKeys,
  makeRewrapSite,
  newKey,
  oldKey,
  plan,
  reading,
  run,
  type RewrapSite,
} from './rewrap-site.ts';

let site: RewrapSite;
let before: ReadonlyMap<string, string>;

beforeEach(async () => {
  site = await makeRewrapSite();
  before = await contentsOf(await site.memory.openWith(reading));
});
afterEach(async () => {
  await site.destroy();
});

/** The age files of the repository: an archive's parts are one. */
function ageFiles(): ReadonlyMap<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const key of encryptedKeys(site.memory)) {
    const name = (readGeneration(key)?.first ?? key).replace(/\.age\.\d{5}$/, '.age');
    files.set(
      name,
      Buffer.concat([files.get(name) ?? Buffer.alloc(0), site.memory.objects.get(key) ?? Buffer.alloc(0)]),
    );
  }
  return files;
}

/** Whether the `age` command opens each of the age files with a key. */
async function openedBy(key: { readonly file: string }): Promise<ReadonlyMap<string, boolean>> {
  await writeFile(join(site.root, 'key.txt'), key.file, { mode: 0o600 });
  const opened = new Map<string, boolean>();
  for (const [name, contents] of ageFiles()) {
    await writeFile(join(site.root, 'object'), contents);
    const args = ['-d', '-i', join(site.root, 'key.txt'), '-o', join(site.root, 'plain'), join(site.root, 'object')];
    opened.set(name, execaSync('age', args, { reject: false }).exitCode === 0);
  }
  return opened;
}

async function contents(): Promise<ReadonlyMap<string, string>> {
  return await contentsOf(await site.memory.openWith(reading));
}

test('a plan writes nothing, counts what is for others, and is the same until it has run', async () => {
  const there = [...site.memory.objects.keys()];
  const planned = await plan(await site.context());

  expect(planned).toMatchObject({
    backups: { objects: 4 },
    wal: { objects: 8 },
    fileSets: { objects: 1 },
    leftovers: 0,
  });
  expect(planned.recipients).toEqual([newKey.fingerprint]);
  expect([...site.memory.objects.keys()]).toEqual(there);
  await storeSegments(site.memory.repository, 8, 9);
  expect((await plan(await site.context())).id).toBe(planned.id);
});

test('afterwards the age command opens everything with the new identity and nothing with the old one', async () => {
  expect([...(await openedBy(oldKey)).values()]).not.toContain(false);
  const context = await site.context();

  expect(await run(context)).toMatchObject({ is: 'rewrapped', rewrapped: { left: 0 } });

  const byNew = await openedBy(newKey);
  expect(byNew.size).toBeGreaterThan(10);
  expect([...byNew.values()]).not.toContain(false);
  expect([...(await openedBy(oldKey)).values()]).not.toContain(true);
  expect(await contentsOf(await site.memory.openWith(encryptionFor([newKey], [newKey])))).toEqual(before);
  expect((await readJournal(context.unit)).at(-1)).toMatchObject({ kind: 'rewrap', outcome: 'succeeded' });
});

test('a second change finds what the first one left, and a run with nothing to do changes nothing', async () => {
  await run(await site.context());
  const there = encryptedKeys(site.memory);
  const same = await site.context({ encryption: encryptionFor([newKey], [newKey]) });
  expect(await plan(same)).toMatchObject({ backups: { objects: 0 }, wal: { objects: 0 }, leftovers: 0 });
  expect(await run(same)).toMatchObject({ rewrapped: { renewed: 0, swept: 0 } });
  expect(encryptedKeys(site.memory)).toEqual(there);

  await run(await site.context({ encryption: encryptionFor([oldKey, newKey], [newKey]) }));

  expect(encryptedKeys(site.memory).filter((key) => /\.2\.age/.test(key))).toEqual([]);
  expect([...(await openedBy(oldKey)).values()]).not.toContain(false);
  expect([...(await openedBy(newKey)).values()]).not.toContain(false);
  expect(await contents()).toEqual(before);
});

describe('nothing is written', () => {
  const there = () => [...site.memory.objects.keys()];

  test('with another identity, and it is told whose is wanted', async () => {
    const objects = there();
    const strange = await site.context({ encryption: encryptionFor([newKey], [newKey]) });
    await expect(plan(strange)).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining(oldKey.fingerprint),
    });
    await expect(run(strange)).rejects.toMatchObject({ kind: 'refused' });
    expect(there()).toEqual(objects);
  });

  test('without an identity, without a recipient, and for one that nobody has compared', async () => {
    const objects = there();
    for (const [encryption, kind] of [
      [encryptionFor([newKey]), 'refused'],
      [noEncryption, 'refused'],
      [{ ...changing, confirmed: [] }, 'settings'],
    ] as const) {
      await expect(run(await site.context({ encryption }))).rejects.toMatchObject({ kind });
    }
    expect(there()).toEqual(objects);
  });

  test('by who does not own the line, or under the id of another plan', async () => {
    const objects = there();
    await expect(run(await site.context({ unit: 'copy' }))).rejects.toMatchObject({ kind: 'refused' });
    const context = await site.context();
    const scope = await ownScope(context.unit, context.repository, { model: 'm', application: 'a', unit: 'u/0' });
    expect(await runRewrap(context, scope, 'a123456789abcdef')).toMatchObject({ is: 'changed' });
    expect(there()).toEqual(objects);
  });
});

test('killed before any of its changes, everything can be read at that moment, and the same run finishes', async () => {
  const there = new Map(site.memory.objects);
  for (let nth = 1; ; nth += 2) {
    site.memory.objects.clear();
    for (const [key, object] of there) site.memory.objects.set(key, object);
    let died = (): boolean => false;
    const wrap = (storage: Storage) => {
      const dying = dyingAt(storage, nth);
      died = () => dying.hasDied();
      return dying.storage;
    };
    const outcome = await run(await site.context({ wrap })).catch((error: unknown) => error);
    expect(await contents(), `change ${nth}`).toEqual(before);
    // A change whose failure is nobody's business, the end of a lease.
    if (!died()) {
      expect(outcome).toMatchObject({ is: 'rewrapped' });
      expect(nth).toBeGreaterThan(30);
      return;
    }

    await run(await site.context());
    expect(await contentsOf(await site.memory.openWith(encryptionFor([newKey], [newKey])))).toEqual(before);
    expect(
      encryptedKeys(site.memory).filter(
        (key) => (readGeneration(key)?.number ?? 1) === 1 && !/\.age\.0000[2-9]$/.test(key),
      ),
    ).toEqual([]);
  }
});

test('half of it done, whoever has one identity only is told which objects want the other', async () => {
  await run(await site.context({ wrap: (storage) => dyingAt(storage, 12).storage })).catch(() => undefined);

  expect(await contents()).toEqual(before);
  for (const one of [oldKey, newKey]) {
    const alone = await site.memory.openWith(encryptionFor([newKey], [one]));
    await expect(contentsOf(alone)).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('age1…'),
    });
  }
});

test('what a job reads stays beside the new object until it has ended', async () => {
  const id = (await readBackups(site.memory.repository, place)).backups[0]?.id ?? '';
  const terms = { job: 'restore-1', kind: 'restore' as const, holder: 'g/0', backups: [id], from: null };
  const lease = await takeLease(site.memory.repository, place, { by: 'guest', model: 'g', unit: 'g/0' }, terms, now);
  const folder = layout.backup(place, id);

  expect(await run(await site.context())).toMatchObject({ rewrapped: { left: 2 } });
  expect(encryptedKeys(site.memory)).toContain(`${folder}base.tar.zst.age.00001`);
  expect(await contents()).toEqual(before);

  await lease.end(now);
  expect(await plan(await site.context({ encryption: reading }))).toMatchObject({ wal: { objects: 0 }, leftovers: 2 });
  expect(await run(await site.context({ encryption: reading }))).toMatchObject({
    rewrapped: { renewed: 0, swept: 2, left: 0 },
  });
  expect(encryptedKeys(site.memory)).not.toContain(`${folder}base.tar.zst.age.00001`);
});

test('who looked at a backup before finds its parts by their new names', async () => {
  const { backups } = await readBackups(site.memory.repository, place);
  await run(await site.context());
  const reader = await site.memory.openWith(encryptionFor([newKey], [newKey]));
  for (const { id, archives, manifest } of backups) {
    const folder = layout.backup(place, id);
    const parts = archives[0]?.parts ?? [];
    expect(parts.length).toBeGreaterThan(1);
    expect((await bytes(readParts(reader, folder, parts))).toString('base64')).toBe(before.get(`${id} archive`));
    await proveOpens(reader, folder, manifest === null ? [] : [manifest]);
    await proveOpens(reader, folder, parts);
  }
});

test('nothing is removed for an object that does not come back as it was stored', async () => {
  const there = encryptedKeys(site.memory);
  const wrap = (storage: Storage): Storage => ({
    ...storage,
    put: async (key, body, pace) => {
      const whole = await bytes(body);
      if (key.includes('.2.age')) whole[whole.byteLength - 1] = (whole.at(-1) ?? 0) ^ 1;
      await storage.put(key, bytesOf(whole), pace);
    },
  });
  await expect(run(await site.context({ wrap }))).rejects.toMatchObject({ kind: 'damaged' });
  expect(encryptedKeys(site.memory)).toEqual(there);
  expect(await contents()).toEqual(before);
});

test('of two units of one owner at once at most one does it, and the other says who', async () => {
  const waiting = gate();
  const reached = gate();
  const slow = await site.context({
    unit: 'one',
    wrap: (storage) => ({
      ...storage,
      put: async (key, body, pace) => {
        if (key.includes('.2.age')) {
          reached.open();
          await waiting.opened;
        }
        await storage.put(key, body, pace);
      },
    }),
  });
  const first = run(slow);
  await reached.opened;
  const other = await site.context({ unit: 'two' });
  const scope = await ownScope(other.unit, other.repository, { model: 'm', application: 'a', unit: 'u/1' });
  const { id } = await planRewrap(other, scope);
  await expect(runRewrap(other, scope, id)).rejects.toMatchObject({
    kind: 'busy',
    message: expect.stringContaining('u/0'),
  });
  waiting.open();

  expect(await first).toMatchObject({ is: 'rewrapped' });
  expect(await contents()).toEqual(before);
});

describe('damage', () => {
  const second = `${layout.wal(place)}00000001/00000000/${segmentName(1, 2, segmentSize)}.zst`;

  function damage(key: string): void {
    const stored = Buffer.from(site.memory.objects.get(key) ?? []);
    stored[stored.byteLength - 1] = (stored.at(-1) ?? 0) ^ 1;
    site.memory.objects.set(key, stored);
  }

  test('what is damaged stays as it is and is named, and all else is done', async () => {
    damage(`${second}.age`);
    const id = (await readBackups(site.memory.repository, place)).backups[0]?.id ?? '';
    damage(`${layout.backup(place, id)}backup_manifest.age`);

    await expect(run(await site.context())).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(/backup_manifest\.age.*and 1 more objects; all else is encrypted anew/),
    });

    const left = encryptedKeys(site.memory).filter((key) => /(?:zst|manifest)\.age$|zst\.age\.00001$/.test(key));
    expect(left).toEqual([
      `${layout.backup(place, id)}backup_manifest.age`,
      `${layout.backup(place, id)}base.tar.zst.age.00001`,
      `${second}.age`,
    ]);
    const folder = encryptedKeys(site.memory).filter((key) => key.startsWith(layout.backup(place, id)));
    expect(folder.filter((key) => key.includes('.2.age'))).toEqual([]);
  });

  test('where the highest generation is damaged and the one before is there still, a higher one is made of that', async () => {
    const old = site.memory.objects.get(`${second}.age`) ?? Buffer.alloc(0);
    await run(await site.context());
    site.memory.objects.set(`${second}.age`, old);
    damage(`${second}.2.age`);

    await run(await site.context({ encryption: reading }));

    expect(encryptedKeys(site.memory).filter((key) => key.startsWith(second))).toEqual([`${second}.3.age`]);
    expect(await contents()).toEqual(before);
  });

  test('a record that can not be read makes a backup unreadable, and so protected', async () => {
    await run(await site.context());
    const id = (await readBackups(site.memory.repository, place)).backups[0]?.id ?? '';
    site.memory.objects.set(`${layout.rewraps(layout.backup(place, id))}00000001.json`, Buffer.from('{'));

    const { backups, unfinished } = await readBackups(site.memory.repository, place);
    expect(backups.map((each) => each.id)).not.toContain(id);
    expect(unfinished).toMatchObject([{ id, unreadable: expect.stringContaining('rewrap/00000001.json') }]);
  });
});

test('a prune removes every generation of what has expired', async () => {
  const wrap = (storage: Storage): Storage => ({
    ...storage,
    remove: async (key) => {
      if (key.includes('/wal/')) throw new Failure('unavailable', 'gone');
      await storage.remove(key);
    },
  });
  await expect(run(await site.context({ wrap }))).rejects.toMatchObject({ kind: 'unavailable' });
  const twice = encryptedKeys(site.memory).filter((key) => /0000000[1-5]\.zst\.(?:2\.)?age$/.test(key));
  expect(twice).toHaveLength(10);
  const deleter: Deleter = {
    repository: site.memory.repository,
    clock: (await site.context()).clock,
    systemIdentifier,
    leasesOf: [1],
    prove: async () => await Promise.resolve(),
  };
  const stretch = { incarnation: 1, timeline: 1, first: 1, last: 3, because: 'it expired' };

  expect(await deleteWal(deleter, [stretch], segmentSize)).toBe(3);
  const [backup] = (await readBackups(site.memory.repository, place)).backups;
  expect(await deleteBackup(deleter, { incarnation: 1, id: backup?.id ?? '' })).toBe(true);

  const left = [...site.memory.objects.keys()];
  expect(left.filter((key) => /0000000[123]\.zst/.test(key) || /0000000[123]\.0/.test(key))).toEqual([]);
  expect(left.filter((key) => key.includes(backup?.id ?? 'none'))).toEqual([]);
});
