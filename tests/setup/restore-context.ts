import { mkdir } from 'node:fs/promises';
import type { Backup } from '../../src/core/backup.ts';
import type { KeptPlan } from '../../src/core/restore-plan.ts';
import { keepPlan } from '../../src/jobs/kept-plans.ts';
import type { RestoreRequest } from '../../src/jobs/plan-context.ts';
import { planRestore } from '../../src/jobs/plan-restore.ts';
import type { RestoreContext, RestorePatience } from '../../src/jobs/restore/restore-context.ts';
import { findServer } from '../../src/postgres/server-process.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { jobContext } from './job-context.ts';
import type { Machine, TestCluster } from './machine.ts';

/** Short enough for a test, with the order of magnitude between call and total kept. */
const shortPatience: RestorePatience = {
  callSeconds: 1,
  firstPauseMs: 200,
  longestPauseMs: 500,
  totalMs: 60_000,
  archiveMs: 20_000,
};

/** The start of a restore onto a cluster of a private machine. */
export async function restoreContext(
  machine: Machine,
  server: TestCluster,
  repository: Repository,
  options: Partial<Pick<RestoreContext, 'patience' | 'progress' | 'signal'>> = {},
  settings: Readonly<Record<string, unknown>> = {},
): Promise<RestoreContext> {
  const context = await jobContext(machine, server, settings);
  await mkdir(context.unit.path, { recursive: true, mode: 0o700 });
  return {
    ...context,
    control: {
      stop: context.control.stop,
      start: async (cluster) => {
        if ((await findServer(cluster.dataDirectory)) === undefined) await context.control.start(cluster);
      },
    },
    repository,
    progress: () => undefined,
    patience: shortPatience,
    ...options,
  };
}

/** Plans and keeps the plan, as the command does without `--confirm`. */
export async function plannedRestore(
  context: RestoreContext,
  request: Partial<RestoreRequest> = {},
): Promise<{ readonly kept: KeptPlan; readonly backup: Backup }> {
  const { plan, backup } = await planRestore(context, {
    target: { to: 'end' },
    inPlace: false,
    discardOld: false,
    takeOver: false,
    tablespaceMap: {},
    credentials: 'spare',
    ...request,
  });
  return { kept: await keepPlan(context.unit, plan, context.clock.now()), backup };
}
