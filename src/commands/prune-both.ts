import { Failure, toFailure } from '../core/failure.ts';
import type { RetentionPlan } from '../core/retention-plan.ts';
import { segmentName } from '../core/wal-name.ts';
import { formatBytes } from '../core/words.ts';
import { underLock } from '../jobs/job-context.ts';
import { makePrunePlan, type PruneContext, type PrunePlan } from '../jobs/prune-plan.ts';
import { prune, type PruneOutcome } from '../jobs/prune.ts';
import { withWholeSecond, type SecondPlace } from '../jobs/second.ts';
import { ofSecond } from '../repository/second-place.ts';
import type { Result } from './output.ts';

/** Works with what lies at the second destination; `undefined` where there is none, or it is away or lacks something. */
export async function atSecond<T>(
  context: SecondPlace,
  site: PruneContext,
  work: (second: PruneContext) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await withWholeSecond(context, async (repository) => await work({ ...site, repository, isSecond: true }));
  } catch (error) {
    throw ofSecond(error);
  }
}

/** Deletes at the second while nobody fills it: who does may be about to store what he has read before. Fails with `busy`. */
export async function whileNotKept<T>({ unit }: SecondPlace, work: () => Promise<T>): Promise<T> {
  return await underLock(unit, 'second', 'keeping the second destination', work);
}

/** What would expire, at each destination by what lies there. */
export async function printPrune(context: SecondPlace, site: PruneContext): Promise<Result> {
  const plan = await makePrunePlan(site);
  if (context.settings.second === undefined) return { text: describe(plan), json: { plan: toJson(plan) } };
  const second = (await atSecond(context, site, makePrunePlan).catch(toFailure)) ?? notWhole;
  const there =
    second instanceof Failure
      ? `${second.message}: nothing expires there now\n  next: ${second.hint ?? howToLook}`
      : `at the second destination:\n${describe(second)}`;
  return {
    text: `${describe(plan)}\n\n${there}`,
    json: { plan: toJson(plan), second: second instanceof Failure ? null : toJson(second) },
  };
}

const howToLook = 'landscape-backup status says how it is; what has expired there goes when it is whole again.';
const notWhole = new Failure('unavailable', 'the second destination is away or lacks something', { hint: howToLook });

/** Deletes what was confirmed, at the destination for which it was printed. */
export async function confirmPrune(context: SecondPlace, site: PruneContext, confirm: string): Promise<Result> {
  const request = { by: 'person', confirm } as const;
  if (context.settings.second !== undefined && (await makePrunePlan(site)).id !== confirm) {
    const there = await atSecond(context, site, async (second) =>
      (await makePrunePlan(second)).id === confirm
        ? await whileNotKept(context, async () => await prune(second, request))
        : undefined,
    );
    if (there?.is === 'pruned') {
      const { text, json } = told(there);
      return { text: `at the second destination: ${text}`, json };
    }
  }
  const result = await prune(site, request);
  if (result.is === 'pruned') return told(result);
  // Exit code 4, as any refusal: what was confirmed is not what would be deleted now.
  const { text, json } = await printPrune(context, site);
  const changed = `nothing was deleted: the plan ${confirm} is not what would be deleted now`;
  return { text: `${changed}\n\n${text}`, json: { changed: true, ...json }, exitCode: 4 };
}

function told(result: Extract<PruneOutcome, { is: 'pruned' }>): Result {
  const { deletedBackups, sweptBackups, deletedSegments, left } = result.pruned;
  const lines = [
    `deleted ${deletedBackups} backups and ${deletedSegments} WAL segments, swept ${sweptBackups} interrupted backups`,
  ];
  if (left > 0) lines.push(`${left} backups stay after all: a job began to use them, or they were pinned`);
  return { text: lines.join('\n'), json: { pruned: result.pruned, plan: toJson(result.plan) } };
}

function describe({ id, policy, retention }: PrunePlan): string {
  const lines = [`policy: the newest ${policy.count} backups, and any second of the last ${policy.days} days`];
  for (const refusal of retention.refusals) lines.push(`nothing expires now: ${refusal}`);
  for (const { backup, because } of retention.keep) lines.push(`keep    ${backup.id}  ${because.join('; ')}`);
  for (const { backup, because } of retention.delete) {
    lines.push(`delete  ${backup.id}  ${formatBytes(backup.storedBytes)}, ${because}`);
  }
  for (const each of retention.unfinished.keep) lines.push(`keep    ${each.id}  not complete: ${each.because}`);
  for (const each of retention.unfinished.sweep) lines.push(`delete  ${each.id}  not complete: ${each.because}`);
  lines.push(...walLines(retention));
  const isEmpty = retention.delete.length + retention.unfinished.sweep.length + retention.wal.delete.length === 0;
  lines.push(
    isEmpty
      ? 'nothing has expired'
      : `nothing has been deleted yet. To delete exactly this:\n  landscape-backup prune --confirm=${id}`,
  );
  return lines.join('\n');
}

function walLines({ wal, keep }: RetentionPlan): readonly string[] {
  const segmentSize = keep[0]?.backup.segmentSize;
  const run = (timeline: number, first: number, last: number) =>
    segmentSize === undefined
      ? `segments ${first} to ${last} of timeline ${timeline}`
      : `${segmentName(timeline, first, segmentSize)} to ${segmentName(timeline, last, segmentSize)}`;
  return [
    ...wal.delete.map(
      ({ timeline, first, last, because }) =>
        `delete  WAL ${run(timeline, first, last)} (${last - first + 1}), ${because}`,
    ),
    ...wal.strangers.map((name) => `keep    ${name}: no cluster could have made this name`),
  ];
}

function toJson({ id, policy, retention }: PrunePlan) {
  return {
    id,
    policy,
    refusals: retention.refusals,
    keep: retention.keep.map(({ incarnation, backup, because }) => ({ incarnation, backup: backup.id, because })),
    delete: retention.delete.map(({ incarnation, backup, because }) => ({ incarnation, backup: backup.id, because })),
    unfinished: retention.unfinished,
    wal: { delete: retention.wal.delete, strangers: retention.wal.strangers },
  };
}
