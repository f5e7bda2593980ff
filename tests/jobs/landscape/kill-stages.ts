import { parseSettings } from '../../../src/core/settings.ts';
import { abandonFiles } from '../../../src/jobs/landscape/abandon-files.ts';
import { checkLandscape } from '../../../src/jobs/landscape/check.ts';
import { readLandscapePlan, type LandscapeContext } from '../../../src/jobs/landscape/context.ts';
import { quiesce } from '../../../src/jobs/landscape/quiesce.ts';
import { restoreFiles } from '../../../src/jobs/landscape/restore-files.ts';
import { resume } from '../../../src/jobs/landscape/resume.ts';
import { verifyFiles } from '../../../src/jobs/landscape/verify-files.ts';
import { isSharedFolder } from '../../../src/repository/layout.ts';
import { openRepository } from '../../../src/repository/repository.ts';
import { openDirectory } from '../../../src/storage/directory.ts';
import { unitFolder } from '../../../src/system/home.ts';

/** The stages of a whole restore, in their order. */
export const restoreStages = ['check', 'quiesce', 'files', 'verify', 'resume'] as const;

/** The context of a process that is told only where everything lies. */
export function killContext(root: string, home: string): LandscapeContext {
  return {
    home,
    settings: parseSettings({ destination: '/srv/backup' }),
    unit: unitFolder(home, 'landscape'),
    identity: { model: 'spare-model', application: 'landscape-backup', unit: 'landscape-backup/0' },
    principal: null,
    called: null,
    jujuVersion: null,
    machine: { root },
    clock: { now: () => new Date('2026-11-24T03:00:00Z') },
    signal: undefined,
    progress: () => undefined,
  };
}

/** Runs stages one after the other, as a charm would ask for them. */
export async function runStages(
  context: LandscapeContext,
  destination: string,
  planId: string,
  stages: readonly string[],
): Promise<void> {
  const storage = await openDirectory(destination, { url: `file://${destination}`, isShared: isSharedFolder });
  const open = async () => await openRepository(storage, undefined);
  const plan = await readLandscapePlan(context, planId);
  for (const stage of stages) {
    if (stage === 'check') await checkLandscape(context, plan, open);
    else if (stage === 'quiesce') await quiesce(context, plan);
    else if (stage === 'files') await restoreFiles(context, plan, open);
    else if (stage === 'verify') await verifyFiles(context, plan);
    else if (stage === 'resume') await resume(context, plan);
    else await abandonFiles(context, plan);
  }
  await storage.close();
}
