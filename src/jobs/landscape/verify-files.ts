import { Failure } from '../../core/failure.ts';
import type { LandscapePlan, Staged } from '../../core/landscape-restore.ts';
import { readEndpoints } from '../../core/landscape-endpoints.ts';
import { parseServiceConfiguration, valuesOf } from '../../core/service-configuration.ts';
import { namesHost, productionHosts } from '../../core/service-merge.ts';
import { needFence } from '../../landscape/fence.ts';
import { needLandscapeUnit } from '../../landscape/unit.ts';
import { readAccounts, type Accounts } from '../../system/accounts.ts';
import { lookAtPlace } from '../../system/placing.ts';
import type { LandscapeContext } from './context.ts';
import { isLinkToDirectory, previousText } from './previous.ts';
import { ownerIds, withRestoreLock } from './restore-files.ts';
import { readStaged } from './staging.ts';
import { makeWorkList, stagedText, type Work, type WorkList } from './work-list.ts';

/** What was compared and found right. */
export interface VerifiedFiles {
  readonly files: number;
  readonly endpoints: ReturnType<typeof readEndpoints> | null;
}

/** Compares what lies on disk with what the plan wanted. The first difference is a `damaged` failure that names them all. */
export async function verifyFiles(context: LandscapeContext, plan: LandscapePlan): Promise<VerifiedFiles> {
  return await withRestoreLock(context, async () => {
    await needFence({ machine: context.machine, folder: context.unit.path }, plan.planId);
    if (plan.fileSet === null) return { files: 0, endpoints: null };
    const staged = await readStaged(context, plan);
    if (staged === undefined) {
      throw new Failure('refused', `the files of plan ${plan.planId} have not been restored on this unit`, {
        hint: `landscape-backup restore-files --plan ${plan.planId}`,
      });
    }
    return await compare(context, plan, staged);
  });
}

async function compare(context: LandscapeContext, plan: LandscapePlan, staged: Staged): Promise<VerifiedFiles> {
  const list = await makeWorkList(context, plan, staged);
  const accounts = readAccounts(context.machine.root);
  const faults: string[] = [];
  for (const work of list.work) {
    const fault = work.text === null ? await placeFault(context, accounts, work) : mergeFault(list, work);
    if (fault !== undefined) faults.push(`${work.path} ${fault}`);
  }
  const endpoints = readEndpoints(list.unit.serviceConfiguration.parsed);
  const hosts = await hostsOfProduction(context, plan, staged);
  const strange = [endpoints.database, endpoints.broker, endpoints.packageSearch].filter(
    (each) => each !== null && namesHost(`//${each}`, hosts),
  );
  if (strange.length > 0) faults.push(`${list.unit.serviceConfiguration.path} points to production`);
  if (faults.length === 0) return { files: list.work.length, endpoints };
  throw new Failure('damaged', `${faults.length} files are not what was restored: ${faults.slice(0, 5).join('; ')}`, {
    hint: `landscape-backup restore-files --plan ${plan.planId} puts them in place again.`,
  });
}

/** The hosts that production connects to and that this unit did not before the restore. */
async function hostsOfProduction(
  context: LandscapeContext,
  plan: LandscapePlan,
  staged: Staged,
): Promise<readonly string[]> {
  const production = await stagedText(context, plan, staged, staged.serviceConfiguration);
  const spare = await previousText(
    context,
    plan.planId,
    (await needLandscapeUnit(context.machine)).serviceConfiguration.path,
  );
  if (production === undefined || spare === undefined) return [];
  return productionHosts({
    production: parseServiceConfiguration(production),
    spare: parseServiceConfiguration(spare),
  });
}

async function placeFault(context: LandscapeContext, accounts: Accounts, work: Work): Promise<string | undefined> {
  if (work.kind === 'directory' && (await isLinkToDirectory(context, work.path))) return undefined;
  const found = await lookAtPlace(context.machine, work.path);
  if (found === 'other') return 'is something else than a file';
  const { placed, sha256 } = found;
  if (placed.kind === 'absent') return 'is not there';
  if (placed.kind !== work.kind) return `is a ${placed.kind}`;
  if (placed.kind === 'link' && placed.target !== work.target) return 'is a link to another place';
  if (placed.kind !== 'link' && placed.mode !== work.mode) return `has the mode ${placed.mode.toString(8)}`;
  const owner = await ownerIds(accounts, work);
  if (placed.uid !== owner.uid || placed.gid !== owner.gid) return 'belongs to somebody else';
  return sha256 === work.sha256 ? undefined : 'has other contents';
}

/** What was merged is compared by its values: others may have written the same file since, in their own form. */
function mergeFault({ unit }: WorkList, work: Work): string | undefined {
  if (work.rule !== 'service') return 'has other variables';
  const wanted = valuesOf(parseServiceConfiguration(work.text ?? '', work.path));
  const found = valuesOf(unit.serviceConfiguration.parsed);
  const names = [...new Set([...wanted.keys(), ...found.keys()])].filter(
    (name) => wanted.get(name) !== found.get(name),
  );
  return names.length === 0 ? undefined : `has other values of ${names.sort().join(', ')}`;
}
