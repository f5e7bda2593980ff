import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { backupFiles } from '../../../src/jobs/landscape/backup-files.ts';
import { quiesce } from '../../../src/jobs/landscape/quiesce.ts';
import { runDueFiles } from '../../../src/jobs/landscape/run-due-files.ts';
import { unfence } from '../../../src/jobs/landscape/unfence.ts';
import type { Repository } from '../../../src/repository/repository.ts';
import { isRoot, makeLandscapeUnit, sharedRepository, type LandscapeTestUnit } from '../../setup/landscape-unit.ts';

let unit: LandscapeTestUnit;
let repository: Repository;

beforeEach(async () => {
  repository = await sharedRepository();
  unit = await makeLandscapeUnit({ profile: 'quickstart', whose: 'production' });
});

afterEach(async () => {
  await unit.remove();
});

async function due(at: string) {
  const context = { ...unit.context, clock: { now: () => new Date(at) } };
  return await runDueFiles(context, async () => repository, 'UTC');
}

describe.skipIf(!isRoot)('a Landscape unit’s files', () => {
  test('are left alone until the unit is told which repository is its own', async () => {
    expect(await due('2026-11-24T03:00:00Z')).toMatchObject({
      is: 'idle',
      why: expect.stringMatching('not been told'),
    });
  });

  test('are kept when the schedule wants it, once', async () => {
    await backupFiles(unit.context, async () => repository, { join: true });

    expect(await due('2026-11-24T03:00:00Z')).toMatchObject({ is: 'idle', why: 'nothing is due' });
    expect(await due('2026-11-25T02:00:00Z')).toMatchObject({ is: 'kept', kept: { isNew: false } });
    expect(await due('2026-11-25T02:01:00Z')).toMatchObject({ is: 'idle' });
  });

  test('are left alone during a restore, and a fence that nobody ends can be taken away', async () => {
    await backupFiles(unit.context, async () => repository, { join: true });
    await quiesce(unit.context, {
      format: 1,
      planId: 'plan-1',
      fileSet: null,
      credentials: 'spare',
      profile: 'quickstart',
      endpointsDigest: null,
    });

    expect(await due('2026-11-25T02:00:00Z')).toMatchObject({
      is: 'idle',
      why: expect.stringMatching('plan-1 is under way'),
    });
    expect(await unfence(unit.context)).toBe('plan-1');
    expect(await unfence(unit.context)).toBeNull();
    expect(await due('2026-11-25T02:00:00Z')).toMatchObject({ is: 'kept' });
  });
});
