import { afterEach, beforeEach, expect, test } from 'vitest';
import { leaseSchema } from '../../src/core/record.ts';
import { planRetirement, retireParent } from '../../src/jobs/retire-parent.ts';
import { claimIncarnation } from '../../src/repository/incarnations.ts';
import { layout } from '../../src/repository/layout.ts';
import { takeLease } from '../../src/repository/leases.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import { writeOwnerState } from '../../src/system/home.ts';
import {
  makeSite,
  makeUnit,
  objectsOf,
  pruneContext,
  reopen,
  storeBackup,
  storeSegments,
  watch,
  type Site,
} from './prune-site.ts';

const policy = { count: 1, days: 7 };
let parent: Site;
let child: Site;

beforeEach(async () => {
  parent = await makeSite();
  await storeBackup(parent, { daysAgo: 30, segment: 3 });
  await storeSegments(parent, 3, 9);
  const place = { ...parent.place, incarnation: 2 };
  const unit = await makeUnit(parent.root, '15-spare', undefined);
  await writeOwnerState(unit, { ownerId: 'child', ...place });
  await claimIncarnation(parent.repository, place.systemIdentifier, 2, {
    format: 1,
    ownerId: 'child',
    model: 'model',
    application: 'spare',
    unit: '15-spare',
    since: new Date(0),
    parent: { incarnation: 1, timeline: 1, lsn: 9n * 16n * 1024n * 1024n },
  });
  child = { ...parent, place, unit };
});

afterEach(async () => {
  await parent.destroy();
});

/** The child has a backup of its own that is old enough for the whole window. */
async function childReachesItsWindow(): Promise<void> {
  await storeBackup(child, { daysAgo: 8, segment: 12, incarnation: 2 });
  await storeSegments(child, 12, 14);
}

const refusedFor = (why: RegExp) => ({
  kind: 'refused',
  message: expect.stringMatching(why),
  hint: expect.any(String),
});

test('a parent without a sign of life is retired by plan and confirm; its owner record stays, and the child is untouched', async () => {
  await childReachesItsWindow();
  const before = await objectsOf(parent.storage, layout.incarnation(child.place));

  const plan = await planRetirement(pruneContext(child, policy));
  expect(plan).toMatchObject({ place: parent.place, owner: { unit: '15-main' }, objects: 11 });
  expect(await retireParent(pruneContext(child, policy), 'another id')).toBeUndefined();
  await retireParent(pruneContext(child, policy), plan.id);

  expect((await objectsOf(parent.storage, layout.incarnation(parent.place))).map((line) => line.split(' ')[0])).toEqual(
    [`${layout.guests(parent.place)}README.txt`, layout.owner(parent.place)],
  );
  expect(await objectsOf(parent.storage, layout.incarnation(child.place))).toEqual(before);
});

test.each<[string, RegExp, () => Promise<unknown>]>([
  [
    'the child has no old backup of its own',
    /no backup of incarnation 2 itself is 7 days old yet/,
    async () => undefined,
  ],
  [
    'the parent gave a sign of life',
    /15-main of production, gave a sign of life at/,
    async () => {
      await childReachesItsWindow();
      await storeBackup(parent, { daysAgo: 2, segment: 6 });
    },
  ],
  [
    'a guest restores from it',
    /a job needs it \(a drill\)/,
    async () => {
      await childReachesItsWindow();
      const terms = { job: 'j', kind: 'drill' as const, holder: 'a drill', backups: [], from: null };
      await takeLease(
        parent.repository,
        parent.place,
        { by: 'guest', model: 'm', unit: 'u' },
        terms,
        parent.clock.now(),
      );
    },
  ],
  [
    'a lease in it cannot be read',
    /a job needs it \(unreadable lease/,
    async () => {
      await childReachesItsWindow();
      await parent.storage.put(`${layout.leases(parent.place)}x/00000001.json`, bytesOf('{'));
    },
  ],
])('%s: refused, and nothing is deleted', async (_what, why, arrange) => {
  await arrange();
  const before = await objectsOf(parent.storage);

  await expect(planRetirement(pruneContext(child, policy))).rejects.toMatchObject(refusedFor(why));

  expect(await objectsOf(parent.storage)).toEqual(before);
});

test('who is not the owner of the child retires nothing', async () => {
  await childReachesItsWindow();
  const stranger = await makeUnit(parent.root, '15-stranger', undefined);

  await expect(planRetirement(pruneContext({ ...child, unit: stranger }, policy))).rejects.toMatchObject(
    refusedFor(/owns nothing/),
  );
  await writeOwnerState(stranger, { ownerId: 'somebody', ...child.place });
  await expect(planRetirement(pruneContext({ ...child, unit: stranger }, policy))).rejects.toMatchObject(
    refusedFor(/belongs to 15-spare of spare/),
  );
});

test('a job that begins after the plan was confirmed keeps its backup', async () => {
  await childReachesItsWindow();
  const plan = await planRetirement(pruneContext(child, policy));
  const key = `${layout.leases(parent.place)}late/00000001.json`;
  const repository: Repository = await reopen(
    parent.root,
    () => parent.clock.now(),
    (inner) =>
      watch(inner, async (call, put) => {
        if (call !== 'put' || !put.startsWith(layout.marks(parent.place))) return;
        const lease = {
          format: 1,
          job: 'late',
          kind: 'restore',
          holder: 'late',
          at: parent.clock.now(),
          ended: false,
        } as const;
        const text = JSON.stringify(leaseSchema.encode({ ...lease, backups: plan.backups.slice(), from: null }));
        await inner.put(key, bytesOf(text));
      }),
  );

  await expect(retireParent(pruneContext({ ...child, repository }, policy), plan.id)).rejects.toMatchObject({
    kind: 'refused',
  });

  const left = await objectsOf(parent.storage, layout.base(parent.place));
  expect(left.some((line) => line.includes('backup.json'))).toBe(true);
});

test('killed between any two removals, the next plan finishes it', async () => {
  await childReachesItsWindow();
  for (let after = 1; ; after += 1) {
    let calls = 0;
    const repository = await reopen(
      parent.root,
      () => parent.clock.now(),
      (inner) =>
        watch(inner, async () => {
          calls += 1;
          if (calls === after) throw new Error('killed');
        }),
    );
    const context = pruneContext({ ...child, repository }, policy);
    const done = await retireParent(context, (await planRetirement(context)).id).then(
      () => true,
      () => false,
    );
    if (done) break;
    expect(after).toBeLessThan(50);
  }

  expect(await objectsOf(parent.storage, layout.wal(parent.place))).toEqual([]);
  expect(await objectsOf(parent.storage, layout.base(parent.place))).toEqual([]);
});
