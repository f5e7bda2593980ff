import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { ownerSchema } from '../../src/core/incarnation.ts';
import { witnessSchema } from '../../src/core/record.ts';
import { layout } from '../../src/repository/layout.ts';
import { appendRecord } from '../../src/repository/records.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { faultyStorage, type Fault } from '../doubles/faulty-storage.ts';
import { all, bytes } from '../storage/bytes.ts';
import { claim, place, storeSegments, storeWholeBackup, systemIdentifier } from './copy-site.ts';
import { makeDoubledSite, type DoubledSite } from './doubled-site.ts';

let site: DoubledSite;
beforeEach(async () => {
  site = await makeDoubledSite();
});
afterEach(async () => {
  await site.destroy();
});

const segment = (number: number) =>
  `clusters/${systemIdentifier}/1/wal/00000001/00000000/0000000100000000000000${number.toString(16).toUpperCase().padStart(2, '0')}.zst`;
const away: Fault[] = (['put', 'get', 'list', 'folders', 'remove'] as const).map((on) => ({ on, do: 'fail-before' }));
const faulty =
  (...script: Fault[]) =>
  (storage: Storage): Storage =>
    faultyStorage(storage, script);
const keysOf = ({ objects }: { objects: ReadonlyMap<string, unknown> }) => [...objects.keys()].toSorted();

describe('while both answer', () => {
  test('what is told as stored is at both, and nothing is noted', async () => {
    const repository = await site.open();
    await claim(repository, 1, 'owner');
    await storeSegments(repository, 1, 3);
    await storeWholeBackup(repository, { daysAgo: 1, segment: 2 });

    expect(keysOf(site.second)).toEqual(keysOf(site.first));
    expect(await site.folder.keys('second')).toEqual([]);
    expect(await site.folder.keys('first')).toEqual([]);
  });

  test('what speaks of the first alone stays there: probes, guests’ leases, marks of a prune', async () => {
    const repository = await site.open();
    await claim(repository, 1, 'owner');
    const keys = [
      `${layout.probes(place)}x`,
      `${layout.guest(place, 'g', 'g/0')}job/00000001.json`,
      `${layout.marks(place)}b/00000001.json`,
      `${layout.fileSets('m', 'a', 'u/0')}probes/x`,
    ];
    for (const key of keys) await repository.storage.put(key, bytesOf('{}'));

    expect(keys.every((key) => site.first.objects.has(key) && !site.second.objects.has(key))).toBe(true);
    expect(await site.folder.keys('second')).toEqual([]);
  });

  test('other bytes at the second are an error, again and again, and never a success', async () => {
    const repository = await site.open();
    await claim(repository, 1, 'owner');
    await storeSegments(repository, 1, 1);
    site.second.objects.set(segment(2), site.second.objects.get(segment(1)) ?? new Uint8Array());

    for (const _attempt of [1, 2, 3]) {
      await expect(storeSegments(await site.open(), 2, 2)).rejects.toThrow(/holds other bytes/);
    }
    expect(site.second.objects.get(segment(2))).toEqual(site.second.objects.get(segment(1)));
    await expect(site.settle()).rejects.toThrow(/holds other bytes/);
  });

  test('the same bytes at either, from a try whose answer was lost, are a success', async () => {
    const repository = await site.open();
    await claim(repository, 1, 'owner');
    await storeSegments(repository, 1, 2);
    site.first.objects.delete(segment(1));
    site.second.objects.delete(segment(2));

    await storeSegments(repository, 1, 2);
    await site.settle();

    expect(keysOf(site.second)).toEqual(keysOf(site.first));
  });

  test('bytes that the first refuses never come to the second', async () => {
    const repository = await site.open();
    await claim(repository, 1, 'owner');
    await storeSegments(repository, 1, 1);
    site.second.objects.delete(segment(1));
    site.first.objects.set(segment(1), Buffer.from('others'));

    await expect(storeSegments(repository, 1, 1)).rejects.toThrow(Failure);

    expect(site.second.objects.has(segment(1))).toBe(false);
  });
});

describe('while the second is away', () => {
  test('what it lacks is noted, and is there when it was brought over', async () => {
    const repository = await site.open({ second: faulty(...away) });
    await claim(repository, 1, 'owner');
    await storeSegments(repository, 1, 3);
    await storeWholeBackup(repository, { daysAgo: 1, segment: 2 });
    expect(keysOf(site.second)).toEqual(['README.txt', 'repository.json']);
    expect(await site.folder.away('second')).toMatchObject({ kind: 'unavailable' });

    await site.settle();

    expect(keysOf(site.second)).toEqual(keysOf(site.first));
    expect(await site.folder.keys('second')).toEqual([]);
  });

  test('a second that hangs holds nothing for longer than its bound', async () => {
    const never = new Promise<void>(() => undefined);
    const script: Fault[] = [{ on: 'put', key: /wal/, do: 'stall', release: never }];
    const repository = await site.open({ second: faulty(...script), stallMs: 50 });
    await claim(repository, 1, 'owner');

    await storeSegments(repository, 1, 3);

    expect(site.first.objects.has(segment(3))).toBe(true);
    expect(await site.folder.keys('second')).toEqual([1, 2, 3].map(segment));
  });

  test('a record waits for what was stored before it', async () => {
    const script: Fault[] = [{ on: 'put', key: /wal.*01\.zst/, do: 'fail-before' }];
    const repository = await site.open({ second: faulty(...script) });
    await claim(repository, 1, 'owner');
    await storeSegments(repository, 1, 1);
    await site.folder.clearAway('second');
    const at = new Date();
    await appendRecord(repository, layout.witnesses(place), witnessSchema, { format: 1, at, timeline: 1, lsn: 5n });
    const backup = await storeWholeBackup(repository, { daysAgo: 1, segment: 2 });

    const there = keysOf(site.second);
    expect(there).toContain(`${layout.backup(place, backup.id)}base.tar.zst.00001`);
    expect(there).not.toContain(layout.backupRecord(place, backup.id));
    expect(there.filter((key) => key.includes('/witness/'))).toEqual([]);

    await site.settle();
    expect(keysOf(site.second)).toEqual(keysOf(site.first));
  });

  test('what was pruned before it was brought over is dropped', async () => {
    const repository = await site.open({ second: faulty(...away) });
    await claim(repository, 1, 'owner');
    await storeSegments(repository, 1, 2);
    site.first.objects.delete(segment(1));

    await site.settle();

    expect(keysOf(site.second)).toEqual(keysOf(site.first));
    expect(await site.folder.keys('second')).toEqual([]);
  });

  test('what can’t be noted is not told as stored', async () => {
    const repository = await site.open({ second: faulty(...away) });
    await claim(repository, 1, 'owner');
    site.folder.add = async () => {
      throw new Failure('machine', 'no room');
    };

    await expect(storeSegments(repository, 1, 1)).rejects.toThrow('no room');
  });
});

describe('while the first is away', () => {
  beforeEach(async () => {
    const repository = await site.open();
    await claim(repository, 1, 'owner');
    await storeSegments(repository, 1, 1);
  });

  test('WAL goes to the second, is noted, read and listed, and brought back', async () => {
    const repository = await site.open({ first: faulty(...away) });
    await storeSegments(repository, 2, 3);
    expect(await site.folder.keys('first')).toEqual([2, 3].map(segment));
    expect(await bytes(await repository.read(segment(2)))).toEqual(
      Buffer.from(site.second.objects.get(segment(2)) ?? []),
    );

    const back = await site.open();
    const listed = (await all(back.storage.list(layout.wal(place)))).map(({ key }) => key);
    expect(listed).toEqual([1, 2, 3].map(segment));
    const names = await back.storage.folders(segment(1).replace(/[^/]*$/, ''));
    expect(names).toEqual([1, 2, 3].map((number) => segment(number).replace(/.*\//, '')));
    expect(await bytes(await back.read(segment(3)))).toEqual(Buffer.from(site.second.objects.get(segment(3)) ?? []));

    await site.settle();
    expect(keysOf(site.first)).toEqual(keysOf(site.second));
    expect(await site.folder.keys('first')).toEqual([]);
  });

  test('that something is missing, and what there is, only the first can say', async () => {
    const { storage } = await site.open({ first: faulty(...away) });

    await expect(storage.get(segment(9))).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(all(storage.list(''))).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(storage.folders('')).rejects.toMatchObject({ kind: 'unavailable' });
    // Of what the second has lost it says nothing either.
    await site.folder.add('first', segment(9), { sizeBytes: 1, lies: 'memory://second' });
    const beside = segment(9).replace(/[^/]*$/, '');
    await expect(storage.folders(beside, segment(9))).rejects.toMatchObject({ kind: 'unavailable' });
  });

  test('claims, records and backups need it', async () => {
    const repository = await site.open({ first: faulty(...away) });

    await expect(claim(repository, 2, 'owner')).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(
      repository.storage.put(`${layout.base(place)}b/base.tar.zst.00001`, bytesOf('x')),
    ).rejects.toMatchObject({ kind: 'unavailable' });
    expect(keysOf(site.second).filter((key) => /\/2\/|base/.test(key))).toEqual([]);
  });

  test('and the second too, nothing is told as stored', async () => {
    const repository = await site.open();
    const both = await site.open({ first: faulty({ on: 'put', do: 'fail-before' }), second: faulty(...away) });

    await expect(storeSegments(both, 2, 2)).rejects.toMatchObject({ kind: 'unavailable' });
    await storeSegments(repository, 2, 2);
  });
});

describe('claims', () => {
  const owner = {
    format: 1 as const,
    ownerId: 'other',
    model: 'm',
    application: 'a',
    unit: 'a/0',
    since: new Date(),
    parent: null,
  };

  test('one that somebody else has at the second is refused before the first is claimed', async () => {
    const second = site.second.open();
    await second.put(layout.owner(place), bytesOf(`${JSON.stringify(ownerSchema.encode(owner))}\n`));

    await expect(claim(await site.open(), 1, 'owner')).rejects.toMatchObject({ kind: 'refused' });

    expect(site.first.objects.has(layout.owner(place))).toBe(false);
  });

  test('nothing of a line that somebody else has there comes to the second, and nothing is told as stored', async () => {
    await claim(await site.open({ second: faulty(...away) }), 1, 'owner');
    await site.folder.clearAway('second');
    const second = site.second.open();
    await second.put(layout.owner(place), bytesOf(`${JSON.stringify(ownerSchema.encode(owner))}\n`));

    await expect(storeSegments(await site.open(), 1, 1)).rejects.toThrow(/belongs to .* other|belongs to/);

    expect(keysOf(site.second).filter((key) => key.includes('/wal/'))).toEqual([]);
  });

  test('a repeated claim of the same owner succeeds, and is repeated at the second', async () => {
    await claim(await site.open({ second: faulty(...away) }), 1, 'owner');
    await site.folder.clearAway('second');

    const repository = await site.open();
    await claim(repository, 1, 'owner');
    await storeSegments(repository, 1, 1);

    expect(keysOf(site.second)).toContain(layout.owner(place));
  });

  test('another repository at the second is left alone, and what it lacks is noted', async () => {
    site.second.objects.set('repository.json', Buffer.from('{"id":"another"}'));
    const repository = await site.open();
    await claim(repository, 1, 'owner');

    await storeSegments(repository, 1, 1);

    expect(await site.folder.away('second')).toMatchObject({ kind: 'refused' });
    expect(keysOf(site.second)).toEqual(['README.txt', 'repository.json']);
    expect(await site.folder.keys('second')).toContain(segment(1));
  });
});
