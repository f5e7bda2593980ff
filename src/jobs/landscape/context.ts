import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Failure } from '../../core/failure.ts';
import { principalRun } from '../../core/juju-words.ts';
import { readEndpoints } from '../../core/landscape-endpoints.ts';
import { landscapePlanSchema, planIdPattern, type LandscapePlan } from '../../core/landscape-restore.ts';
import type { ServiceConfiguration } from '../../core/service-configuration.ts';
import type { Settings } from '../../core/settings.ts';
import type { LandscapeMachine } from '../../landscape/machine.ts';
import type { Clock } from '../../system/clock.ts';
import { readJson, writeJson } from '../../system/files.ts';
import { makePrivateFolder, type UnitFolder } from '../../system/home.ts';
import type { Identity } from '../../system/identity.ts';
import type { ReportProgress } from '../job-progress.ts';

/** What the jobs on a Landscape unit start from. They run as root. */
export interface LandscapeContext {
  readonly home: string;
  readonly settings: Settings;
  /** `<home>/landscape`: root's alone. */
  readonly unit: UnitFolder;
  readonly identity: Identity;
  /** The unit of the landscape-server charm beside which this one lives; null without Juju. */
  readonly principal: string | null;
  /** As Juju says it; null without Juju. */
  readonly jujuVersion: string | null;
  /** What people call this unit: the model's name and the unit beside it; null without Juju. */
  readonly called: { readonly model: string; readonly principal: string | null } | null;
  readonly machine: LandscapeMachine;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  readonly progress: ReportProgress;
}

/** Where one restore keeps what it needs, all of it root's alone. */
export interface RestoreFolder {
  /** The plan, as the charm or `restore-files --from` wrote it. */
  readonly plan: string;
  /** Production's files, staged and proven. */
  readonly staging: string;
  /** What lay there before. */
  readonly previous: string;
  /** Values that the operator gives to the landscape-server charm. */
  readonly operator: string;
}

/** The folders of a restore by its plan's id. Fails with `usage` for a text that can't be one. */
export function restoreFolder({ unit }: Pick<LandscapeContext, 'unit'>, planId: string): RestoreFolder {
  if (!planIdPattern.test(planId)) throw new Failure('usage', `"${planId}" can't be a plan's id`);
  return {
    plan: join(unit.restore, `${planId}.json`),
    staging: join(unit.restore, planId),
    previous: join(unit.path, 'previous', planId),
    operator: join(unit.path, 'operator', planId),
  };
}

/** The plan of that id. Fails with `refused` when there is none on this unit. */
export async function readLandscapePlan(
  context: Pick<LandscapeContext, 'unit'>,
  planId: string,
): Promise<LandscapePlan> {
  const { plan: path } = restoreFolder(context, planId);
  const plan = await readJson(path, landscapePlanSchema);
  if (plan?.planId === planId) return plan;
  throw new Failure('refused', `there is no plan ${planId} on this unit`, {
    hint: 'landscape-backup restore-files --from <model>/<unit> makes one here; with Juju the charm writes it.',
  });
}

/** Keeps a plan, for the stages to read. */
export async function writeLandscapePlan(context: Pick<LandscapeContext, 'unit'>, plan: LandscapePlan): Promise<void> {
  await makePrivateFolder(context.unit.restore);
  await writeJson(restoreFolder(context, plan.planId).plan, landscapePlanSchema, plan);
}

/** One word for where a Landscape unit connects to: a plan that showed other endpoints no longer stands. */
export function endpointsDigest(configuration: ServiceConfiguration): string {
  return createHash('sha256')
    .update(JSON.stringify(readEndpoints(configuration)))
    .digest('hex')
    .slice(0, 16);
}

/** The hint that names the landscape-server charm's own action. */
export function principalAction(
  { principal, jujuVersion }: Pick<LandscapeContext, 'principal' | 'jujuVersion'>,
  action: 'pause' | 'resume',
): string {
  return principalRun(jujuVersion ?? '3', principal ?? 'landscape-server/<n>', action);
}
