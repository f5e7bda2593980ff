import { afterEach, beforeEach, expect, test } from 'vitest';
import { markSchema } from '../../src/core/record.ts';
import { makePrunePlan } from '../../src/jobs/prune-plan.ts';
import { prune } from '../../src/jobs/prune.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { layout } from '../../src/repository/layout.ts';
import { takeLease } from '../../src/repository/leases.ts';
import { appendRecord } from '../../src/repository/records.ts';
import { writeOwnerState } from '../../src/system/home.ts';
import { backup, hourMs, segmentSize } from '../core/catalogue-builder.ts';
import { makeSite, makeUnit, objectsOf, pruneContext, reopen, storeDaily, watch, type Site } from './prune-site.ts';

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
