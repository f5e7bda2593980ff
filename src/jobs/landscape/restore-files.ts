import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../core/failure.ts';
import type { LandscapePlan, Staged } from '../../core/landscape-restore.ts';
import type { MergeDecision, OperatorOption } from '../../core/service-merge.ts';
import { needFence } from '../../landscape/fence.ts';
import type { Repository } from '../../repository/repository.ts';
import { readAccounts, type Accounts } from '../../system/accounts.ts';
import { readFileBytes, writeAtomically } from '../../system/files.ts';
import { makePrivateFolder } from '../../system/home.ts';
import { placeDirectory, placeFile, placeLink, type Placing } from '../../system/placing.ts';
import { underLock } from '../job-context.ts';
import { endpointsDigest, restoreFolder, type LandscapeContext } from './context.ts';
import { isLinkToDirectory, keepPrevious, placingOf } from './previous.ts';
import { stageFiles } from './staging.ts';
import { makeWorkList, type Work, type WorkList } from './work-list.ts';

/** What was done with a unit's files, or will be: names only, never values. */
export interface FilesReport {
  readonly files: number;
  readonly decisions: readonly MergeDecision[];
  /** Commands that only the operator can run. */
  readonly operator: readonly string[];
  readonly notes: readonly string[];
}

/** The lock of all stages: one at a time. */
export async function withRestoreLock<T>({ unit }: LandscapeContext, work: () => Promise<T>): Promise<T> {
  return await underLock(unit, 'restore', "a stage of this unit's restore", work);
}

/**
 * Puts production's files in place, merged where the spare has its own words, and keeps what was there before.
 *
 * Refused unless this plan's fence stands. May be repeated, and may be killed anywhere: nothing is changed before all of what
 * was there is kept.
 */
export async function restoreFiles(
  context: LandscapeContext,
  plan: LandscapePlan,
  openRepository: () => Promise<Repository>,
): Promise<FilesReport> {
  return await withRestoreLock(context, async () => {
    await needFence({ machine: context.machine, folder: context.unit.path }, plan.planId);
    const staged = await stageFiles(context, plan, openRepository);
    if (staged === null) return { files: 0, decisions: [], operator: [], notes: ['the plan restores no files here'] };
    const list = await prepare(context, plan, staged);
    await keepPrevious(context, plan.planId, list.work);
    await writeOperatorFiles(context, plan, list.operator);
    await placeAll(context, plan, list.work);
    return reportOf(context, plan, list);
  });
}

/** Decides, and refuses what can't be done, before anything is touched. */
export async function prepare(context: LandscapeContext, plan: LandscapePlan, staged: Staged): Promise<WorkList> {
  const list = await makeWorkList(context, plan, staged);
  const digest = endpointsDigest(list.unit.serviceConfiguration.parsed);
  if (plan.endpointsDigest !== null && digest !== plan.endpointsDigest) {
    throw new Failure('refused', "this unit's endpoints are not those that the plan showed", {
      hint: 'Make a new plan.',
    });
  }
  await refuseStrangers(readAccounts(context.machine.root), list.work);
  const work: Work[] = [];
  for (const each of list.work) {
    if (each.kind !== 'directory' || !(await isLinkToDirectory(context, each.path))) work.push(each);
  }
  return { ...list, work };
}

/** What a file set says of a file whose owner had no name there: it comes back as root's. */
const nobody = 'UNKNOWN';

/** The numbers that an owner and a group have on this machine. */
export async function ownerIds(
  { users, groups }: Accounts,
  { owner, group }: Pick<Work, 'owner' | 'group'>,
): Promise<{ readonly uid: number | undefined; readonly gid: number | undefined }> {
  const uid = owner === nobody ? 0 : await users.idOf(owner);
  const gid = group === nobody ? 0 : await groups.idOf(group);
  return { uid, gid };
}

async function refuseStrangers({ users, groups }: Accounts, work: readonly Work[]): Promise<void> {
  const unknown = new Set<string>();
  for (const { owner, group } of work) {
    if (owner !== nobody && (await users.idOf(owner)) === undefined) unknown.add(`user ${owner}`);
    if (group !== nobody && (await groups.idOf(group)) === undefined) unknown.add(`group ${group}`);
  }
  if (unknown.size === 0) return;
  throw new Failure('refused', `files belong to names that this machine does not know: ${[...unknown].join(', ')}`, {
    hint: 'Install Landscape as on the machine that they come from, or add these names.',
  });
}

async function placeAll(context: LandscapeContext, plan: LandscapePlan, work: readonly Work[]): Promise<void> {
  const placing = placingOf(context, plan.planId);
  const accounts = readAccounts(context.machine.root);
  const { staging } = restoreFolder(context, plan.planId);
  const made = new Set(work.flatMap(({ path, kind }) => (kind === 'directory' ? [path] : [])));
  const previous = await keepPrevious(context, plan.planId, work);
  // Parents that are in no set: root's, and open to be passed through.
  for (const { path, was } of previous.files) {
    const isParent = work.some((each) => each.path.startsWith(`${path}/`));
    if (was.kind === 'absent' && isParent && !made.has(path)) {
      await placeDirectory(placing, path, { mode: 0o755, uid: 0, gid: 0 });
    }
  }
  for (const [index, each] of work.entries()) {
    context.progress({ phase: 'putting files in place', note: `${index + 1} of ${work.length}` });
    const { uid, gid } = await ownerIds(accounts, each);
    if (uid === undefined || gid === undefined) throw new Failure('machine', `nobody is ${each.owner} any more`);
    await placeOne(placing, each, { uid, gid }, staging);
  }
}

async function placeOne(
  placing: Placing,
  { path, kind, mode, target, text, staged }: Work,
  owner: { readonly uid: number; readonly gid: number },
  staging: string,
): Promise<void> {
  if (kind === 'directory') await placeDirectory(placing, path, { mode, ...owner });
  else if (kind === 'link') await placeLink(placing, path, { target: target ?? '', ...owner });
  else {
    const contents = text === null ? readFileBytes(join(staging, staged ?? '')) : bytesOf(text);
    await placeFile(placing, path, { mode, ...owner }, contents);
  }
}

async function* bytesOf(text: string): AsyncIterable<Uint8Array> {
  yield Buffer.from(text, 'utf8');
}

/** Values that only the operator can give to the charm lie in files of root's, one for each option. */
async function writeOperatorFiles(
  context: LandscapeContext,
  { planId }: LandscapePlan,
  options: readonly OperatorOption[],
): Promise<void> {
  const { operator } = restoreFolder(context, planId);
  await rm(operator, { recursive: true, force: true });
  const secrets = options.filter(({ secret }) => secret);
  if (secrets.length === 0) return;
  await makePrivateFolder(operator);
  for (const { option, value } of secrets) await writeAtomically(join(operator, option), value);
}

/** What is told of the files: how many, whose word counts where, and what is left to the operator. */
export function reportOf(context: LandscapeContext, { planId }: LandscapePlan, list: WorkList): FilesReport {
  const unit = context.principal ?? 'landscape-server/<n>';
  const application = unit.split('/')[0] ?? unit;
  const { operator: folder } = restoreFolder(context, planId);
  const operator = list.operator.map(({ option, value, secret }) =>
    secret
      ? `(umask 077; juju ssh --pty=false ${unit} sudo cat ${join(folder, option)} > ${option}) && juju config ${application} ${option}=@${option}; rm -f ${option}`
      : `juju config ${application} ${option}='${value.replaceAll("'", String.raw`'\''`)}'`,
  );
  return { files: list.work.length, decisions: list.decisions, operator, notes: list.notes };
}
