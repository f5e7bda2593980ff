import { join } from 'node:path';
import { Failure } from '../../core/failure.ts';
import type { KeptPlan } from '../../core/restore-plan.ts';
import { servePlanSchema } from '../../core/restore-service.ts';
import { servePlanFile } from '../../archiver/restore-wal.ts';
import { forgetServedIdentities } from '../../archiver/served-identities.ts';
import { archivingFile } from '../../postgres/archiving-file.ts';
import { autoConfigurationFile } from '../../postgres/auto-configuration.ts';
import { checkFound, readStartFile } from '../../postgres/fence.ts';
import { withConnection } from '../../postgres/query.ts';
import { readRoles, rolesSchema } from '../../postgres/roles.ts';
import { findServer } from '../../postgres/server-process.ts';
import { readText, removeFile, writeJson } from '../../system/files.ts';
import { readOwnerState, type UnitFolder } from '../../system/home.ts';
import { asideOf } from './move-aside.ts';
import { usualPatience, type RestoreContext } from './restore-context.ts';
import {
  hasReached,
  isUnderWay,
  readRestore,
  readRestoreState,
  writeRestorePlan,
  writeRestoreState,
  type RestoreState,
} from './restore-state.ts';

/** Where the roles of the cluster that is overwritten are kept. Holds secrets. */
export function rolesFile(unit: UnitFolder): string {
  return join(unit.restore, 'roles.json');
}

/**
 * Begins a restore, or finds the one of the same plan that is under way. What was here is looked at and kept; nothing is
 * touched yet.
 *
 * Fails with `refused` while another restore is under way on this unit.
 */
export async function beginRestore(context: RestoreContext, kept: KeptPlan): Promise<RestoreState> {
  const { unit } = context;
  const before = await readRestoreState(unit);
  if (before !== undefined && isUnderWay(before) && before.planId === kept.id) return before;
  const earlier = before !== undefined && isUnderWay(before) ? await replaceable(context, before) : undefined;
  await refuseMixing(kept);
  await writeRestorePlan(unit, kept);
  const notes = earlier === undefined ? await keepRoles(context, kept) : [...earlier.notes];
  return await writeRestoreState(unit, {
    format: 1,
    planId: kept.id,
    startedAt: context.clock.now(),
    stage: 'begin',
    found: earlier?.found ?? (await look(context)),
    notes,
    oldKept: false,
    reached: null,
    endedAt: null,
  });
}

/** A restore that gave up what was here can't be abandoned: another plan may take its place. */
async function replaceable({ unit }: RestoreContext, before: RestoreState): Promise<RestoreState> {
  const { kept } = await readRestore(unit);
  const goes = kept.plan.discardOld && hasReached(before.stage, 'aside') && !hasReached(before.stage, 'done');
  if (goes) return before;
  throw new Failure('refused', `a restore of plan ${before.planId} is under way (${before.stage})`, {
    hint: 'Go on with it: landscape-backup restore --continue. Or go back: landscape-backup abandon-restore.',
  });
}

/** The same plan once more: what its first run set aside must not be mixed with what it made. */
async function refuseMixing({ id, plan }: KeptPlan): Promise<void> {
  const [found] = await asideOf(id, plan);
  if (found === undefined) return;
  throw new Failure('refused', `${found} still holds what was here before the same plan ran the last time`, {
    hint: 'If what it made is good: landscape-backup remove-old. If not: landscape-backup abandon-restore.',
  });
}

async function look({ cluster, unit }: RestoreContext): Promise<RestoreState['found']> {
  return {
    startConf: checkFound(await readStartFile(cluster)),
    running: (await findServer(cluster.dataDirectory)) !== undefined,
    owner: (await readOwnerState(unit)) ?? null,
    archivingFile: (await readText(archivingFile(cluster))) ?? null,
    autoConfiguration: (await readText(autoConfigurationFile(cluster))) ?? '',
  };
}

/** The passwords by which this machine's services come in; a cluster that does not run can't tell them. */
async function keepRoles({ cluster, unit }: RestoreContext, { plan }: KeptPlan): Promise<string[]> {
  await removeFile(rolesFile(unit));
  if (plan.credentials !== 'spare' || plan.inPlace) return [];
  if ((await findServer(cluster.dataDirectory)) === undefined) {
    return [
      `${cluster.label} did not run, so its roles could not be carried over: production's passwords are in force.`,
    ];
  }
  const roles = await withConnection(cluster, readRoles);
  await writeJson(rolesFile(unit), rolesSchema, roles);
  return [];
}

/** Tells `restore-wal` what it serves from now on. */
export async function putInService({ unit, patience = usualPatience }: RestoreContext, kept: KeptPlan): Promise<void> {
  await writeJson(servePlanFile(unit), servePlanSchema, {
    format: 1,
    planId: kept.id,
    patienceSeconds: patience.callSeconds,
    service: kept.plan.service,
  });
}

/** From now on `restore-wal` serves no plan, and nothing that was given to open it lies here. */
export async function takeOutOfService({ unit }: Pick<RestoreContext, 'unit'>): Promise<void> {
  await removeFile(servePlanFile(unit));
  await forgetServedIdentities(unit);
}
