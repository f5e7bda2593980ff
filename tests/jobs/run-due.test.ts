import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { jobBegins, jobFailed, jobSucceeded, type JournalRecord } from '../../src/core/journal-record.ts';
import { prune } from '../../src/jobs/prune.ts';
import { runDue, type DueParts, type RunDueContext } from '../../src/jobs/run-due.ts';
import { appendJournal } from '../../src/system/journal.ts';
import { readNeededBackups, recordNeededBackup } from '../../src/system/needed-backups.ts';
import { hourMs } from '../core/catalogue-builder.ts';
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

function contextOf(more: Partial<RunDueContext> = {}): RunDueContext {
  const { unit, repository, clock } = site;
  const backupSchedule = { expression: '0 2 * * *', zone: 'UTC' };
  return {
    unit,
    repository,
    clock,
    hostZone: 'UTC',
    isStandby: false,
    settings: { backupSchedule, walArchiving: false },
    ...more,
  };
}

/** Parts that note what was called, and end as they are told to. */
function parts(calls: string[], more: Partial<DueParts> = {}): DueParts {
  const note = (name: string) => async () => {
    calls.push(name);
  };
  return {
    reconcile: note('reconcile'),
    backup: async (trigger) => {
      calls.push(`backup ${trigger}`);
      await journal('backup', trigger);
    },
    prune: async () => {
      calls.push('prune');
      await journal('prune', 'backup');
    },
    witness: note('witness'),
    ...more,
  };
}

async function journal(kind: 'backup' | 'prune', trigger: JournalRecord['trigger'], error?: unknown): Promise<void> {
  const startedAt = site.clock.now();
  const begun = jobBegins({ id: `${kind}-${startedAt.toISOString()}`, kind, trigger, startedAt });
  await appendJournal(
    site.unit,
    error === undefined ? jobSucceeded(begun, startedAt) : jobFailed(begun, startedAt, error),
  );
}

test('a due backup is followed by its prune in the same call', async () => {
  const calls: string[] = [];

  const ran = await runDue(contextOf(), parts(calls));

  expect(calls).toEqual(['reconcile', 'backup missed', 'prune']);
  expect(ran).toMatchObject({ is: 'ran', done: [{ did: 'reconcile' }, { did: 'backup' }, { did: 'prune' }] });
});

test('nothing is due when the newest backup is younger than the schedule wants', async () => {
  await storeBackup(site, { daysAgo: 0.1, segment: 3 });
  const calls: string[] = [];

  await runDue(contextOf(), parts(calls));

  expect(calls).toEqual(['reconcile']);
});

test('of two calls at once one works and the other says busy', async () => {
  const calls: string[] = [];
  const both = await Promise.all([runDue(contextOf(), parts(calls)), runDue(contextOf(), parts(calls))]);

  expect(both.map(({ is }) => is).sort()).toEqual(['busy', 'ran']);
  expect(calls).toEqual(['reconcile', 'backup missed', 'prune']);
});

test('a failed backup keeps nothing else from its turn, and comes back after a while', async () => {
  const calls: string[] = [];
  const failing = parts(calls, {
    backup: async (trigger) => {
      calls.push(`backup ${trigger}`);
      const failure = new Failure('unavailable', 'the disk is full');
      await journal('backup', trigger, failure);
      throw failure;
    },
  });
  const archived = contextOf({ settings: { ...contextOf().settings, walArchiving: true } });

  const ran = await runDue(archived, failing);
  expect(calls).toEqual(['reconcile', 'backup missed', 'witness']);
  expect(ran).toMatchObject({ done: [{}, { failure: { kind: 'unavailable' } }, { failure: undefined }] });

  site.clock.move(60_000);
  await runDue(contextOf(), failing);
  site.clock.move(4 * 60_000);
  await runDue(contextOf(), failing);
  expect(calls).toEqual(['reconcile', 'backup missed', 'witness', 'reconcile', 'reconcile', 'backup retry']);
});

test('a needed backup comes at once, and the need is forgotten when a backup has answered it', async () => {
  await storeBackup(site, { daysAgo: 0.1, segment: 3 });
  const need = {
    format: 1 as const,
    reason: 'hole' as const,
    since: site.clock.now(),
    why: 'segments are lost',
    incarnation: 1,
    after: 6n * 16_777_216n,
  };
  await recordNeededBackup(site.unit, need);
  const calls: string[] = [];

  await runDue(contextOf(), parts(calls));
  expect(calls).toEqual(['reconcile', 'backup hole', 'prune']);
  expect(await readNeededBackups(site.unit)).toHaveLength(1);

  site.clock.move(hourMs);
  await storeBackup(site, { daysAgo: 0, segment: 6 });
  await runDue(contextOf(), parts(calls));
  expect(calls).toEqual(['reconcile', 'backup hole', 'prune', 'reconcile']);
  expect(await readNeededBackups(site.unit)).toEqual([]);
});

describe('a spare with the same destination, schedule and retention-count=1', () => {
  test.each([
    { what: 'that owns nothing', ownerId: undefined },
    { what: 'with an owner id of its own', ownerId: 'spare' },
  ])('$what leaves every object as it is for a month', async ({ ownerId }) => {
    const spare = await makeUnit(site.root, '15-spare', ownerId);
    await storeDaily(site, 3);
    const calls: string[] = [];
    for (let day = 1; day <= 30; day += 1) {
      site.clock.move(24 * hourMs);
      await storeBackup(site, { daysAgo: -day + 0.05, segment: 10 + day * 2 });
      await storeSegments(site, 10 + day * 2, 11 + day * 2);
      const before = await objectsOf(site.storage);
      const repository = await reopen(site.root, () => site.clock.now());
      const context = contextOf({ unit: spare, repository });
      const mine = pruneContext({ unit: spare, repository, clock: site.clock }, { count: 1, days: 0 });

      const ran = await runDue(context, parts(calls, { prune: async () => await prune(mine, { by: 'schedule' }) }));
      await expect(prune(mine, { by: 'schedule' })).rejects.toMatchObject({ kind: 'refused' });
      await expect(prune(mine, { by: 'person', confirm: '0000000000000000' })).rejects.toMatchObject({
        kind: 'refused',
      });

      expect(ran).toMatchObject({ done: [{ did: 'reconcile' }] });
      expect(await objectsOf(site.storage)).toEqual(before);
    }
    expect(new Set(calls)).toEqual(new Set(['reconcile']));
  });
});
