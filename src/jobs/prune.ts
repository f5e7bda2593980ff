import { Failure } from '../core/failure.ts';
import {
  aboutPlace,
  isOfSecond,
  jobBegins,
  jobFailed,
  jobId,
  jobSucceeded,
  type JournalRecord,
} from '../core/journal-record.ts';
import type { UnfinishedDecision, WalDecision } from '../core/retention-plan.ts';
import { policyNumbers, whyUnusual } from '../core/unusual-prune.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { proveOwnership } from '../repository/ownership.ts';
import { randomName } from '../system/files.ts';
import { readOwnerState } from '../system/home.ts';
import { appendJournal, readJournal } from '../system/journal.ts';
import { takeLock } from '../system/lock.ts';
import { condemn, deleteBackup, deleteWal, sweepUnfinished, toCondemn, type Deleter } from './prune-delete.ts';
import { makePrunePlan, type PruneContext, type PrunePlan } from './prune-plan.ts';
import { tidy } from './prune-tidy.ts';
import { withWalForgotten } from './remembered-wal.ts';

/** How a prune came to be: by itself after a backup, or by a person who has seen the plan with this id. */
export type PruneRequest = { readonly by: 'schedule' } | { readonly by: 'person'; readonly confirm: string };

/** What a prune did. `left` are backups that a job had begun to use, or that were pinned, after they were condemned. */
interface Pruned {
  readonly deletedBackups: number;
  readonly sweptBackups: number;
  readonly deletedSegments: number;
  readonly tidied: number;
  readonly left: number;
}

/** What became of a request: it ran as planned, or what would be deleted has changed and nothing was touched. */
export type PruneOutcome =
  | { readonly is: 'pruned'; readonly plan: PrunePlan; readonly pruned: Pruned }
  | { readonly is: 'changed'; readonly plan: PrunePlan };

/**
 * Deletes what has expired: what a person has confirmed and nothing else, or by itself what is not far more than usual.
 *
 * Any number may run at once, on any host: every step can be done twice. Killed anywhere, it leaves whole backups or marked
 * ones, and the next prune finishes. Fails with `busy`, and with `refused` on a unit that is not the owner, when nothing may
 * expire now, and when a plan that would run by itself is unusual.
 */
export async function prune(context: PruneContext, request: PruneRequest): Promise<PruneOutcome> {
  const lock = await takeLock(context.unit.lock('prune'), 'a prune of this cluster');
  try {
    const startedAt = context.clock.now();
    const trigger = request.by === 'person' ? 'person' : 'backup';
    const about = aboutPlace(context.isSecond);
    const begins = jobBegins({ id: jobId('prune', startedAt, randomName(3)), kind: 'prune', trigger, startedAt });
    const begun = { ...begins, about };
    const plan = await journaled(context, begun, async () => await decide(context));
    if (request.by === 'person' && plan.id !== request.confirm) return { is: 'changed', plan };
    if (request.by === 'schedule') await waitIfUnusual(context, begun, plan);
    await appendJournal(context.unit, begun);
    const pruned = await journaled(context, begun, async () => await carryOut(context, plan));
    await appendJournal(
      context.unit,
      jobSucceeded(begun, context.clock.now(), {
        numbers: { ...pruned, ...policyNumbers(plan.policy) },
        about: { ...about, plan: plan.id },
      }),
    );
    return { is: 'pruned', plan, pruned };
  } finally {
    await lock.release();
  }
}

/** Does a part of the job; where it fails, the journal says so. */
async function journaled<T>({ unit, clock }: PruneContext, begun: JournalRecord, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await appendJournal(unit, jobFailed(begun, clock.now(), error));
    throw error;
  }
}

/** Makes the plan anew and fails with `refused` where it may not run. */
async function decide(context: PruneContext): Promise<PrunePlan> {
  const plan = await makePrunePlan(context);
  const { refusals } = plan.retention;
  if (refusals.length > 0) {
    throw new Failure('refused', `nothing expires now: ${refusals.join('; ')}`, {
      hint: 'Look at landscape-backup status; nothing was deleted, and nothing will be until this is mended.',
    });
  }
  return plan;
}

/** Fails with `refused` where the plan is far from the usual; the journal says which one waits, for the status to tell. */
async function waitIfUnusual(context: PruneContext, begun: JournalRecord, plan: PrunePlan): Promise<void> {
  const unusual = whyUnusual(plan.retention, plan.policy, await ownJournal(context));
  if (unusual === undefined) return;
  const where = context.isSecond === true ? 'the prune of the second destination' : 'the prune';
  const failure = new Failure('refused', `${where} waits for a person: ${unusual}`, {
    hint: `Look at landscape-backup prune; if it is right: landscape-backup prune --confirm=${plan.id}`,
  });
  const waits = { ...begun, about: { ...begun.about, waits: plan.id } };
  await appendJournal(context.unit, jobFailed(waits, context.clock.now(), failure));
  throw failure;
}

/** What was pruned at the other destination says nothing of this one. */
async function ownJournal({ unit, isSecond = false }: PruneContext): Promise<readonly JournalRecord[]> {
  return (await readJournal(unit)).filter((record) => record.kind !== 'prune' || isOfSecond(record) === isSecond);
}

async function carryOut(context: PruneContext, plan: PrunePlan): Promise<Pruned> {
  const { repository, clock } = context;
  const { systemIdentifier, retention } = plan;
  const catalogue = await readCatalogue(repository, systemIdentifier);
  const own = catalogue.incarnations.filter(({ owner }) => owner.ownerId === plan.ownerId);
  const isRest = ({ incarnation, id }: UnfinishedDecision): boolean =>
    own
      .find(({ number }) => number === incarnation)
      ?.marks.get(id)
      ?.some((mark) => mark?.mark === 'deleting') === true;
  const deleter: Deleter = {
    repository,
    clock,
    systemIdentifier,
    leasesOf: own.map(({ number }) => number),
    prove: async (incarnation) => await proveStillOwner(context, plan, incarnation),
  };
  await condemn(deleter, toCondemn(retention.delete, retention.unfinished.sweep, isRest));
  let [deletedBackups, sweptBackups, left] = [0, 0, 0];
  for (const { incarnation, backup } of retention.delete) {
    if (await deleteBackup(deleter, { incarnation, id: backup.id })) deletedBackups += 1;
    else left += 1;
  }
  for (const each of retention.unfinished.sweep) {
    if (await sweepUnfinished(deleter, each, isRest(each))) sweptBackups += 1;
    else left += 1;
  }
  const deletedSegments = await deleteExpiredWal(context, plan, deleter, own[0]?.wal.segmentSize);
  let tidied = 0;
  for (const each of own) tidied += await tidy(repository, each, clock.now());
  return { deletedBackups, sweptBackups, deletedSegments, tidied, left };
}

/** WAL comes last, and only what is still below everything now that the backups are gone, or have been left after all. */
async function deleteExpiredWal(
  context: PruneContext,
  plan: PrunePlan,
  deleter: Deleter,
  segmentSize: number | undefined,
): Promise<number> {
  if (segmentSize === undefined || plan.retention.wal.delete.length === 0) return 0;
  const now = await makePrunePlan(context);
  if (now.retention.refusals.length > 0) {
    throw new Failure('refused', `WAL stays for now: ${now.retention.refusals.join('; ')}`, {
      hint: 'The next prune finishes it.',
    });
  }
  const expired = intersect(plan.retention.wal.delete, now.retention.wal.delete);
  return await withWalForgotten(context.unit, async () => await deleteWal(deleter, expired, segmentSize));
}

function intersect(planned: readonly WalDecision[], now: readonly WalDecision[]): readonly WalDecision[] {
  return planned.flatMap((each) =>
    now.flatMap((other) => {
      const [first, last] = [Math.max(each.first, other.first), Math.min(each.last, other.last)];
      const isSame = each.incarnation === other.incarnation && each.timeline === other.timeline;
      return isSame && first <= last ? [{ ...each, first, last }] : [];
    }),
  );
}

/** Both sides must still say it: what this unit keeps of itself, and the repository. */
async function proveStillOwner(
  { unit, repository }: PruneContext,
  plan: PrunePlan,
  incarnation: number,
): Promise<void> {
  const state = await readOwnerState(unit);
  if (state?.ownerId !== plan.ownerId || state.systemIdentifier !== plan.systemIdentifier) {
    throw new Failure('refused', 'this unit stopped being the owner while it pruned', {
      hint: 'The prune of the new owner finishes what is marked.',
    });
  }
  await proveOwnership(repository, { systemIdentifier: plan.systemIdentifier, incarnation }, plan.ownerId);
}
