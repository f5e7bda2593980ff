import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { backupSchema, type Backup } from '../../src/core/backup.ts';
import { markSchema, witnessSchema } from '../../src/core/record.ts';
import { parseWalName } from '../../src/core/wal-name.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { layout, walKey } from '../../src/repository/layout.ts';
import { takeLease } from '../../src/repository/leases.ts';
import { appendRecord } from '../../src/repository/records.ts';
import { storeWal } from '../../src/repository/wal-store.ts';
import { bodyOf } from '../storage/bytes.ts';
import { memoryRepository, atThree, type MemoryRepository } from './memory-repository.ts';

const systemIdentifier = '7300000000000000001';
const place = { systemIdentifier, incarnation: 1 };
const [first, second, third] = [
  '20261124T010000Z-00000a',
  '20261123T010000Z-00000b',
  '20261122T010000Z-00000c',
] as const;

let memory: MemoryRepository;

beforeEach(async () => {
  memory = await memoryRepository();
  await claimIncarnation(memory.repository, systemIdentifier, 1, {
    format: 1,
    ownerId: 'o',
    model: 'm',
    application: 'a',
    unit: 'u',
    since: atThree,
    parent: null,
  });
});

async function store(name: string, contents: Uint8Array): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lb-catalogue-'));
  await writeFile(join(folder, 'file'), contents);
  await storeWal(memory.repository, place, parseWalName(name), join(folder, 'file'), 1);
  await rm(folder, { recursive: true });
}

async function storeBackup(id: string, startLsn: bigint): Promise<void> {
  const backup: Backup = {
    format: 1,
    id,
    label: '',
    cluster: '15/main',
    systemIdentifier,
    incarnation: 1,
    versionNumber: 150_000,
    major: '15',
    timeline: 1,
    segmentSize: 2 ** 20,
    startLsn,
    stopLsn: startLsn + 100n,
    startedAt: atThree,
    stoppedAt: atThree,
    stoppedAtHost: atThree,
    withWal: false,
    dataDirectory: '/data',
    archives: [],
    manifest: null,
    plainBytes: 1,
    storedBytes: 1,
    compression: { where: 'server', level: 1 },
    badPages: false,
    settings: [],
    fileSet: null,
    timings: {},
  };
  await memory.repository.storage.put(`${layout.backup(place, id)}base.tar.zst.00001`, bodyOf('12345'));
  await memory.repository.writeJson(layout.backupRecord(place, id), backupSchema, backup);
}

async function read() {
  const [incarnation] = (await readCatalogue(memory.repository, systemIdentifier)).incarnations;
  if (incarnation === undefined) throw new Error('no incarnation');
  return incarnation;
}

test('an unknown cluster has no incarnations, and a new one is empty', async () => {
  expect((await readCatalogue(memory.repository, '99')).incarnations).toEqual([]);
  expect(await read()).toMatchObject({
    number: 1,
    backups: [],
    unfinished: [],
    leases: [],
    holes: [],
    witness: undefined,
  });
});

test('backups come in the order of their LSN, not of their names', async () => {
  await storeBackup(first, 100n);
  await storeBackup(second, 300n);
  await storeBackup(third, 200n);

  expect((await read()).backups.map(({ id }) => id)).toEqual([first, third, second]);
});

test('a folder without backup.json is unfinished; one whose backup.json cannot be read says why, and is no backup', async () => {
  await storeBackup(first, 100n);
  await storeBackup(second, 200n);
  await memory.repository.storage.put(`${layout.backup(place, third)}base.tar.zst.00001`, bodyOf('12345'));
  await memory.repository.storage.put(`${layout.base(place)}not-a-backup/x`, bodyOf('1'));
  memory.objects.set(layout.backupRecord(place, second), Buffer.from('{"format":2}'));

  const { backups, unfinished } = await read();

  expect(backups.map(({ id }) => id)).toEqual([first]);
  expect(unfinished).toEqual([
    { id: third, storedBytes: 5, unreadable: undefined },
    { id: second, storedBytes: 17, unreadable: expect.stringContaining('format') },
  ]);
});

test('marks stand in their order, an unreadable one as undefined', async () => {
  const prefix = `${layout.marks(place)}${first}/`;
  for (const mark of ['pinned', 'unpinned', 'damaged'] as const) {
    await appendRecord(memory.repository, prefix, markSchema, { format: 1, mark, at: atThree, why: '' });
  }
  memory.objects.set(`${prefix}00000002.json`, Buffer.from('?'));

  expect((await read()).marks.get(first)?.map((each) => each?.mark)).toEqual(['pinned', undefined, 'damaged']);
});

test("leases are the owner's and the guests', each with its newest record; an unreadable one stands as undefined", async () => {
  const terms = { job: 'job', kind: 'restore' as const, holder: 'h', backups: [first], from: null };
  const guest = { by: 'guest', model: '.odd model/ä', unit: 'unit/0' } as const;
  const own = await takeLease(memory.repository, place, { by: 'owner' }, terms, atThree);
  await takeLease(memory.repository, place, guest, terms, atThree);
  const later = new Date(atThree.getTime() + 1000);
  await own.beat(later);

  const leases = (await read()).leases;
  expect(leases.map(({ isGuest, lease }) => [isGuest, lease?.at, lease?.ended])).toEqual([
    [false, later, false],
    [true, atThree, false],
  ]);

  await own.end(later);
  memory.objects.set(leases[1]?.key ?? '', Buffer.from('{'));
  expect((await read()).leases.map(({ lease }) => lease?.ended)).toEqual([true, undefined]);
});

test('a guest writes into its own folder and nowhere else', async () => {
  const before = new Set(memory.objects.keys());

  const terms = { job: '../../x', kind: 'drill' as const, holder: 'h', backups: [], from: null };
  await takeLease(memory.repository, place, { by: 'guest', model: '../m', unit: '../../u' }, terms, atThree);

  const added = [...memory.objects.keys()].filter((key) => !before.has(key));
  expect(added).toHaveLength(1);
  expect(added[0]).toMatch(/^clusters\/7300000000000000001\/1\/guests\/[^/]+\/[^/]+\/[^/]+\/00000001\.json$/);
});

test('WAL is indexed from the listing, histories are read, the newest witness counts', async () => {
  for (const segment of [3, 4, 6]) await store(`00000001000000000000000${segment}`, Buffer.alloc(2 ** 20, segment));
  await store('00000002.history', Buffer.from('1\t0/600000\twhy\n'));
  for (const lsn of [1n, 2n]) {
    await appendRecord(memory.repository, layout.witnesses(place), witnessSchema, {
      format: 1,
      at: atThree,
      timeline: 1,
      lsn,
    });
  }

  const { wal, histories, witness } = await read();

  expect(wal.segmentSize).toBe(2 ** 20);
  expect(wal.timelines.get(1)?.runs).toEqual([
    { first: 3, last: 4 },
    { first: 6, last: 6 },
  ]);
  expect(histories.get(2)).toEqual([{ parent: 1, at: 0x60_0000n }]);
  expect(witness?.lsn).toBe(2n);
});

test('a first segment that is damaged does not hide the size of the others', async () => {
  for (const segment of [3, 4]) await store(`00000001000000000000000${segment}`, Buffer.alloc(2 ** 20, segment));
  memory.objects.set(walKey(place, '000000010000000000000003'), Buffer.from('?'));

  expect((await read()).wal.segmentSize).toBe(2 ** 20);
});

test('a damaged history is said and not taken for none', async () => {
  await store('00000002.history', Buffer.from('1\t0/600000\twhy\n'));
  memory.objects.set(walKey(place, '00000002.history'), Buffer.from('?'));

  await expect(read()).rejects.toMatchObject({ kind: 'damaged', message: expect.stringContaining('00000002.history') });
});

test('an error in any listing or read is an error of the catalogue and never an empty one', async () => {
  await storeBackup(first, 100n);
  for (const key of [/base\//, /wal\//, /marks\//, /leases\//, /guests\//, /holes\//, /owner/, /backup\.json/]) {
    for (const on of ['list', 'folders', 'get'] as const) {
      const faulty = await memory.open({ on, key, do: 'fail-before' });
      const outcome = await readCatalogue(faulty, systemIdentifier).catch((error: unknown) => error);
      const whole = await read();
      if (outcome instanceof Error) expect(outcome).toMatchObject({ kind: 'unavailable' });
      else expect(outcome, `${on} ${String(key)}`).toMatchObject({ incarnations: [whole] });
    }
  }
});
