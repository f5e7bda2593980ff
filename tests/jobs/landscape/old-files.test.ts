import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LandscapePlan } from '../../../src/core/landscape-restore.ts';
import { abandonFiles } from '../../../src/jobs/landscape/abandon-files.ts';
import { backupFiles } from '../../../src/jobs/landscape/backup-files.ts';
import { checkLandscape } from '../../../src/jobs/landscape/check.ts';
import { listOldFiles, removeOldFiles } from '../../../src/jobs/landscape/old-files.ts';
import { planFiles } from '../../../src/jobs/landscape/plan-files.ts';
import { quiesce } from '../../../src/jobs/landscape/quiesce.ts';
import { restoreFiles } from '../../../src/jobs/landscape/restore-files.ts';
import { resume } from '../../../src/jobs/landscape/resume.ts';
import type { Repository } from '../../../src/repository/repository.ts';
import { isRoot, makeLandscapeUnit, sharedRepository, type LandscapeTestUnit } from '../../setup/landscape-unit.ts';

let repository: Repository;
let production: LandscapeTestUnit;
let spare: LandscapeTestUnit;
let plan: LandscapePlan;

beforeEach(async () => {
  repository = await sharedRepository();
  production = await makeLandscapeUnit({ profile: 'manual', whose: 'production' });
  await backupFiles(production.context, async () => repository, { join: true });
  spare = await makeLandscapeUnit({ profile: 'manual', whose: 'spare' });
  const from = 'production-model/landscape-backup/0';
  plan = await planFiles(spare.context, repository, { from, set: undefined, credentials: 'spare' });
});
afterEach(async () => {
  await production.remove();
  await spare.remove();
});

describe.skipIf(!isRoot)('what a restore has kept aside', () => {
  test('is removed by its plan, when the restore is over, and then it can not be undone any more', async () => {
    const { context } = spare;
    expect(await listOldFiles(context)).toEqual([]);
    await checkLandscape(context, plan, async () => repository);
    await quiesce(context, plan);
    await restoreFiles(context, plan, async () => repository);
    await expect(removeOldFiles(context, plan.planId)).rejects.toMatchObject({ kind: 'refused' });
    await resume(context, plan);
    const restored = await spare.read('/etc/landscape/service.conf');

    const [old] = await listOldFiles(context);
    expect(old).toMatchObject({ planId: plan.planId, files: expect.any(Number) });
    await expect(removeOldFiles(context, 'another')).rejects.toMatchObject({ kind: 'refused' });
    expect(await removeOldFiles(context, plan.planId)).toEqual(old);

    expect(await listOldFiles(context)).toEqual([]);
    await abandonFiles(context, plan).catch(() => undefined);
    expect(await spare.read('/etc/landscape/service.conf')).toBe(restored);
  });
});
