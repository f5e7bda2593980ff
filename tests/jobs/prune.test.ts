import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { markSchema, witnessSchema } from '../../src/core/record.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import { makePrunePlan } from '../../src/jobs/prune-plan.ts';
import { prune } from '../../src/jobs/prune.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { layout, walKey } from '../../src/repository/layout.ts';
import { takeLease } from '../../src/repository/leases.ts';
import { appendRecord } from '../../src/repository/records.ts';
import { bytesOf } from '../../src/repository/repository.ts';
import { readJournal } from '../../src/system/journal.ts';
import { writeOwnerState } from '../../src/system/home.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { backup, hourMs, segmentSize } from '../core/catalogue-builder.ts';
import {
  makeSite,
  makeUnit,
  objectsOf,
  pruneContext,
  reopen,
  storeBackup,
  storeDaily,
  storeSegments,
  type Site,
} from './prune-site.ts';

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

describe('a plan', () => {
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
    hint: expect.stringContaining('--confirm='),
  });

  expect(await objectsOf(site.storage)).toEqual(before);
  expect(await readJournal(site.unit)).toMatchObject([{ outcome: 'failed', failure: { kind: 'refused' } }]);
});

test('a prune by itself waits for a person when the policy was lowered', async () => {
  await storeDaily(site, 5);
  await pruneAsPlanned(pruneContext(site, { count: 4, days: 0 }));
  site.clock.move(1000);

  await expect(prune(pruneContext(site, { count: 3, days: 0 }), { by: 'schedule' })).rejects.toMatchObject({
    message: expect.stringContaining('retention-count was lowered from 4 to 3'),
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
    message: expect.stringContaining('backups fail or are missed'),
  });
  expect(await backupsLeft()).toHaveLength(5);
});

describe('who may prune', () => {
  test('a unit that owns nothing deletes nothing', async () => {
    await storeDaily(site, 5);
    const before = await objectsOf(site.storage);
    const unit = await makeUnit(site.root, '15-spare', undefined);

    const context = pruneContext({ ...site, unit }, { count: 1, days: 0 });

    await expect(makePrunePlan(context)).rejects.toMatchObject({ kind: 'refused' });
    await expect(prune(context, { by: 'person', confirm: 'x' })).rejects.toMatchObject({ kind: 'refused' });
    await expect(prune(context, { by: 'schedule' })).rejects.toMatchObject({ kind: 'refused' });
    expect(await objectsOf(site.storage)).toEqual(before);
  });

  test('a unit with another owner id deletes nothing', async () => {
    await storeDaily(site, 5);
    const before = await objectsOf(site.storage);
    const unit = await makeUnit(site.root, '15-spare', 'somebody-else');

    await expect(prune(pruneContext({ ...site, unit }, policy), { by: 'schedule' })).rejects.toMatchObject({
      kind: 'refused',
    });
    expect(await objectsOf(site.storage)).toEqual(before);
  });

  test('who stops being the owner in the middle stops deleting', async () => {
    await storeDaily(site, 5);
    let removals = 0;
    const watched = watch(site.storage, async (call) => {
      if (call !== 'remove') return;
      removals += 1;
      if (removals === 4)
        await writeOwnerState(site.unit, {
          ownerId: 'new',
          systemIdentifier: site.place.systemIdentifier,
          incarnation: 2,
        });
    });
    const repository = {
      ...(await reopen(
        site.root,
        () => site.clock.now(),
        () => watched,
      )),
    };

    await expect(pruneAsPlanned(pruneContext({ ...site, repository }, policy))).rejects.toMatchObject({
      kind: 'refused',
    });

    expect(await backupsLeft()).toHaveLength(4);
  });
});

describe('a lease that appears while a prune runs', () => {
  /** Leaves a lease for the oldest backup right after it was condemned, or before. */
  async function pruneWithLease(at: 'first mark' | 'before'): Promise<Awaited<ReturnType<typeof prune>>> {
    await storeDaily(site, 5);
    const used = backup({ daysAgo: 4.25, segment: 3 }).id;
    let isLeft = false;
    const leave = async () => {
      if (isLeft) return;
      isLeft = true;
      const terms = {
        job: 'restore-1',
        kind: 'restore' as const,
        holder: 'spare',
        backups: [used],
        from: { timeline: 1, lsn: 3n * BigInt(segmentSize) },
      };
      await takeLease(site.repository, site.place, { by: 'guest', model: 'm', unit: 'u' }, terms, site.clock.now());
    };
    const watched = watch(site.storage, async (call, key) => {
      if (at === 'first mark' && call === 'put' && key.includes('/marks/')) await leave();
    });
    const repository = await reopen(
      site.root,
      () => site.clock.now(),
      () => watched,
    );
    const context = pruneContext({ ...site, repository }, policy);
    const { id } = await makePrunePlan(context);
    if (at === 'before') await leave();
    return await prune(context, { by: 'person', confirm: id });
  }

  test('after the plan and before the confirm changes the plan', async () => {
    expect((await pruneWithLease('before')).is).toBe('changed');
    expect(await backupsLeft()).toHaveLength(5);
  });

  test('after the mark keeps the backup whole, with its WAL, until the job ends', async () => {
    expect(await pruneWithLease('first mark')).toMatchObject({
      pruned: { deletedBackups: 2, left: 1, deletedSegments: 2 },
    });
    expect(await backupsLeft()).toEqual([3, 12, 15]);

    site.clock.move(24 * hourMs);
    const after = await pruneAsPlanned();

    expect(after).toMatchObject({ pruned: { deletedBackups: 1, deletedSegments: 9 } });
    expect(await backupsLeft()).toEqual([12, 15]);
  });
});

test('a pin that appears after the mark keeps the backup', async () => {
  await storeDaily(site, 5);
  const { id } = backup({ daysAgo: 4.25, segment: 3 });
  let isPinned = false;
  const watched = watch(site.storage, async (call, key) => {
    if (isPinned || call !== 'put' || !key.includes(`/marks/${id}/`)) return;
    isPinned = true;
    await appendRecord(site.repository, `${layout.marks(site.place)}${id}/`, markSchema, {
      format: 1,
      mark: 'pinned',
      at: site.clock.now(),
      why: 'audit',
    });
  });
  const repository = await reopen(
    site.root,
    () => site.clock.now(),
    () => watched,
  );

  expect(await pruneAsPlanned(pruneContext({ ...site, repository }, policy))).toMatchObject({ pruned: { left: 1 } });
  expect(await backupsLeft()).toEqual([3, 12, 15]);
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

test('two prunes at once end as one would', async () => {
  await storeDaily(site, 8);
  const other = await makeUnit(site.root, '15-other', 'owner');
  const [a, b] = [
    pruneContext(site, policy),
    pruneContext({ ...site, unit: other, repository: await reopen(site.root, () => site.clock.now()) }, policy),
  ];
  const { id } = await makePrunePlan(a);

  const outcomes = await Promise.all(
    [a, b].map(async (context) => await prune(context, { by: 'person', confirm: id })),
  );

  expect(outcomes.filter(({ is }) => is === 'pruned').length).toBeGreaterThanOrEqual(1);
  expect(await backupsLeft()).toEqual([21, 24]);
  expect((await makePrunePlan(a)).retention).toMatchObject({
    delete: [],
    wal: { delete: [] },
    unfinished: { sweep: [] },
  });
});

test('two prunes of one unit: the second is busy', async () => {
  await storeDaily(site, 4);
  const outcomes = await Promise.allSettled(
    [1, 2].map(async () => await prune(pruneContext(site, policy), { by: 'schedule' })),
  );

  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { kind: 'busy' } });
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

/** The same storage, with something happening right after each call that changes it. */
function watch(inner: Storage, after: (call: 'put' | 'remove', key: string) => Promise<void>): Storage {
  return {
    url: inner.url,
    put: async (key, body) => {
      await inner.put(key, body);
      await after('put', key);
    },
    remove: async (key) => {
      await inner.remove(key);
      await after('remove', key);
    },
    get: async (key, range) => await inner.get(key, range),
    list: (prefix) => inner.list(prefix),
    folders: async (prefix) => await inner.folders(prefix),
    sweep: async (prefix, before) => await inner.sweep(prefix, before),
    freeBytes: async () => await inner.freeBytes(),
    clock: async () => await inner.clock(),
    close: async () => await inner.close(),
  };
}
