import { isFailure } from '../../core/failure.ts';
import type { LandscapePlan } from '../../core/landscape-restore.ts';
import { findHashIdScript } from '../../landscape/hash-ids.ts';
import { readServices } from '../../landscape/services.ts';
import { needLandscapeUnit } from '../../landscape/unit.ts';
import type { Repository } from '../../repository/repository.ts';
import { run } from '../../system/process.ts';
import { principalAction, type LandscapeContext } from './context.ts';
import { prepare, reportOf, withRestoreLock, type FilesReport } from './restore-files.ts';
import { stageFiles } from './staging.ts';

/** What the check of a plan found. It fails instead where the restore could not succeed. */
export interface LandscapeChecked extends FilesReport {
  readonly profile: LandscapePlan['profile'];
  readonly version: { readonly spare: string | null; readonly production: string | null };
  /** What runs now, and will be stopped, or must be paused by the operator. */
  readonly running: readonly string[];
}

/**
 * Proves that the plan can be done on this unit, before anything is stopped: its files are fetched, proven and staged in root's
 * own folder, merged on paper, and their names, owners and room are looked at.
 */
export async function checkLandscape(
  context: LandscapeContext,
  plan: LandscapePlan,
  openRepository: () => Promise<Repository>,
): Promise<LandscapeChecked> {
  return await withRestoreLock(context, async () => {
    const staged = await stageFiles(context, plan, openRepository);
    const services = await readServices();
    const running = services.filter(({ isRunning }) => isRunning).map(({ unit }) => unit);
    const notes = [...(await hashIdNotes(context)), ...pauseNotes(context, plan, running)];
    const { version } = await needLandscapeUnit(context.machine);
    const base = { profile: plan.profile, running };
    if (staged === null) {
      return { ...base, version: { spare: version, production: null }, files: 0, decisions: [], operator: [], notes };
    }
    const list = await prepare(context, plan, staged);
    const report = reportOf(context, plan, list);
    const versions = { spare: version, production: staged.version };
    const all = [...report.notes, ...(await versionNotes(versions)), ...notes];
    return { ...base, ...report, version: versions, notes: all };
  });
}

async function hashIdNotes({ machine }: LandscapeContext): Promise<readonly string[]> {
  const script = await findHashIdScript(machine);
  return script === undefined ? ['this version has no script for hash-id databases: clients report more slowly'] : [];
}

function pauseNotes(
  context: LandscapeContext,
  { profile }: LandscapePlan,
  running: readonly string[],
): readonly string[] {
  if (profile !== 'charmed' || running.length === 0) return [];
  return [`Landscape runs on this unit; before the restore: ${principalAction(context, 'pause')}`];
}

async function versionNotes({ spare, production }: LandscapeChecked['version']): Promise<readonly string[]> {
  if (spare === production) return [];
  if (spare === null || production === null) return ['the versions of Landscape could not be compared'];
  const difference = `landscape-server is ${spare} here and was ${production} in production`;
  if (await isNewer(spare, production))
    return [`${difference}: it may migrate the restored databases, which can't be undone`];
  return [`${difference}: it may be too old for the restored databases; install ${production}`];
}

async function isNewer(version: string, other: string): Promise<boolean> {
  try {
    const { exitCode } = await run('dpkg', ['--compare-versions', version, 'gt', other], { answers: [1] });
    return exitCode === 0;
  } catch (error) {
    if (isFailure(error, 'machine')) return version > other;
    throw error;
  }
}
