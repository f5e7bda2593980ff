import { containing } from '../setup/containing.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { witnessSchema } from '../../src/core/record.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import { makePrunePlan } from '../../src/jobs/prune-plan.ts';
import { prune } from '../../src/jobs/prune.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { layout, walKey } from '../../src/repository/layout.ts';
import { takeLease } from '../../src/repository/leases.ts';
import { appendRecord } from '../../src/repository/records.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import { readJournal } from '../../src/system/journal.ts';
import { hourMs, segmentSize } from '../core/catalogue-builder.ts';
import { makeSite, objectsOf, pruneContext, storeBackup, storeDaily, storeSegments, type Site } from './prune-site.ts';

let site: Site;
beforeEach(async () => {
  site = await makeSite();
});
afterEach(async () => {
  await site.destroy();
});

const policy = { count: 2, days: 0 };

async function backupsLeft(): Promise<readonly number[]> {
  const { incarnations } = await readCatalogue(site.repository, site.place.systemIdentifier);
  return incarnations.flatMap(({ backups }) => backups.map(({ id }) => Number.parseInt(id.slice(-6), 16)));
}

async function pruneAsPlanned(context = pruneContext(site, policy)) {
  const { id } = await makePrunePlan(context);
  return await prune(context, { by: 'person', confirm: id });
}

test('touches nothing, and has the same id as long as the same would be deleted', async () => {
  await storeDaily(site, 5);
  const before = await objectsOf(site.storage);
  const first = await makePrunePlan(pruneContext(site, policy));
  await storeSegments(site, 18, 20);
  site.clock.move(60_000);

  const second = await makePrunePlan(pruneContext(site, policy));

  expect(second.id).toBe(first.id);
  expect((await objectsOf(site.storage)).length).toBe(before.length + 3);
  expect((await makePrunePlan(pruneContext(site, { count: 3, days: 0 }))).id).not.toBe(first.id);
});

test('that was confirmed deletes exactly what it said', async () => {
  await storeDaily(site, 5);

  const outcome = await pruneAsPlanned();

  expect(outcome).toMatchObject({ is: 'pruned', pruned: { deletedBackups: 3, deletedSegments: 11, left: 0 } });
  expect(await backupsLeft()).toEqual([12, 15]);
  const wal = await objectsOf(site.storage, layout.wal(site.place));
  expect(wal[0]).toContain(segmentName(1, 12, segmentSize));
});

test('that has changed deletes nothing and is given anew', async () => {
  await storeDaily(site, 5);
  const { id } = await makePrunePlan(pruneContext(site, policy));
  await storeBackup(site, { daysAgo: 0.1, segment: 16 });
  const before = await objectsOf(site.storage);

  const outcome = await prune(pruneContext(site, policy), { by: 'person', confirm: id });

  expect(outcome.is).toBe('changed');
  expect(outcome.plan.retention.delete).toHaveLength(4);
  expect(await objectsOf(site.storage)).toEqual(before);
});

test('that is empty is carried out as one that deletes nothing', async () => {
  await storeDaily(site, 2);

  expect(await pruneAsPlanned()).toMatchObject({ is: 'pruned', pruned: { deletedBackups: 0, deletedSegments: 2 } });
});

test('history, backup and partial files: the first stays, the others go with their segment', async () => {
  await storeDaily(site, 5);
  const beside = [`${segmentName(1, 3, segmentSize)}.00000028.backup`, `${segmentName(1, 4, segmentSize)}.partial`];
  for (const name of [...beside, `${segmentName(1, 0, segmentSize)}.partial`])
    await site.storage.put(walKey(site.place, name), bytesOf('x'));

  await pruneAsPlanned();

  const wal = (await objectsOf(site.storage, layout.wal(site.place))).join('\n');
  for (const name of beside) expect(wal).not.toContain(name);
  // No whole segment 0 was ever stored: its partial may be all there is.
  expect(wal).toContain(`${segmentName(1, 0, segmentSize)}.partial`);
});

test('a prune by itself runs when the plan is usual and writes its policy into the journal', async () => {
  await storeDaily(site, 4);

  const outcome = await prune(pruneContext(site, policy), { by: 'schedule' });

  expect(outcome).toMatchObject({ pruned: { deletedBackups: 2 } });
  expect(await readJournal(site.unit)).toMatchObject([
    { kind: 'prune', outcome: 'succeeded', numbers: { retentionCount: 2, retentionDays: 0, deletedBackups: 2 } },
  ]);
});

test('a prune by itself waits for a person when it would delete far more than usual', async () => {
  await storeDaily(site, 9);
  const before = await objectsOf(site.storage);

  await expect(prune(pruneContext(site, policy), { by: 'schedule' })).rejects.toMatchObject({
    kind: 'refused',
    message: 'the prune waits for a person: 7 backups would be deleted, usual would be at most 2',
    hint: containing('--confirm='),
  });

  expect(await objectsOf(site.storage)).toEqual(before);
  expect(await readJournal(site.unit)).toMatchObject([{ outcome: 'failed', failure: { kind: 'refused' } }]);
});

test('a prune by itself waits for a person when the policy was lowered', async () => {
  await storeDaily(site, 5);
  await pruneAsPlanned(pruneContext(site, { count: 4, days: 0 }));
  site.clock.move(1000);

  await expect(prune(pruneContext(site, { count: 3, days: 0 }), { by: 'schedule' })).rejects.toMatchObject({
    message: containing('retention-count was lowered from 4 to 3'),
  });
  expect(await backupsLeft()).toHaveLength(4);
});

test('nothing expires while a refusal stands, not even what was confirmed', async () => {
  await storeDaily(site, 5);
  const { id } = await makePrunePlan(pruneContext(site, policy));
  const late = pruneContext(site, policy, {
    settings: { retentionCount: 2, retentionDays: 0, backupSchedule: { expression: '0 11 * * *', zone: 'UTC' } },
  });

  await expect(prune(late, { by: 'person', confirm: id })).rejects.toMatchObject({
    kind: 'refused',
    message: containing('backups fail or are missed'),
  });
  expect(await backupsLeft()).toHaveLength(5);
});

test('an interrupted backup of more than a day ago is swept with its parts', async () => {
  await storeDaily(site, 2);
  const old = '20261101T000000Z-00aaaa';
  for (const id of [old, '20261102T000000Z-00bbbb'])
    await site.storage.put(`${layout.backup(site.place, id)}base.tar.zst.00001`, bytesOf('x'));
  const { retention } = await makePrunePlan(pruneContext(site, policy));
  expect(retention.unfinished.sweep.map(({ id }) => id)).toEqual([old, '20261102T000000Z-00bbbb']);

  expect(await pruneAsPlanned()).toMatchObject({ pruned: { sweptBackups: 2 } });
  expect((await objectsOf(site.storage, layout.base(site.place))).join()).not.toContain(old);
});

test('witnesses but the newest, silent leases and old marks of what is gone are tidied away', async () => {
  await storeDaily(site, 4);
  for (let each = 0; each < 6; each += 1) {
    await appendRecord(site.repository, layout.witnesses(site.place), witnessSchema, {
      format: 1,
      at: site.clock.now(),
      timeline: 1,
      lsn: BigInt(each),
    });
  }
  const terms = { job: 'backup-1', kind: 'backup' as const, holder: 'us', backups: [], from: null };
  const lease = await takeLease(site.repository, site.place, { by: 'owner' }, terms, site.clock.now());
  await lease.end(site.clock.now());
  await prune(pruneContext(site, policy), { by: 'schedule' });
  expect(await objectsOf(site.storage, layout.leases(site.place))).toHaveLength(2);
  expect(await objectsOf(site.storage, layout.marks(site.place))).toHaveLength(2);

  site.clock.move(31 * 24 * hourMs);
  await prune(pruneContext(site, policy), { by: 'schedule' });

  expect(await objectsOf(site.storage, layout.leases(site.place))).toEqual([]);
  expect(await objectsOf(site.storage, layout.marks(site.place))).toEqual([]);
  const { incarnations } = await readCatalogue(site.repository, site.place.systemIdentifier);
  expect(incarnations[0]?.witness?.lsn).toBe(5n);
  expect(await objectsOf(site.storage, layout.witnesses(site.place))).toHaveLength(3);
});
