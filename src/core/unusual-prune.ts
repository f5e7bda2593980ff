import type { Trouble } from './health-facts.ts';
import { isOfSecond, type JournalRecord } from './journal-record.ts';
import type { RetentionPlan, RetentionPolicy } from './retention-plan.ts';

/** What a prune's journal record tells about the policy that it followed. */
export function policyNumbers({ count, days }: RetentionPolicy): Readonly<Record<string, number>> {
  return { retentionCount: count, retentionDays: days };
}

/**
 * Says why a plan is too far from the usual to run by itself, or `undefined` when it may.
 *
 * Usual is that each backup that succeeded since the last prune pushes out one, and one more. A policy that was lowered since
 * then takes effect at once and for good, so the first plan that deletes a backup under it waits for a person.
 */
export function whyUnusual(
  plan: RetentionPlan,
  policy: RetentionPolicy,
  journal: readonly JournalRecord[],
): string | undefined {
  const condemned = plan.delete.filter(({ isRest }) => !isRest).length;
  if (condemned === 0) return undefined;
  const last = journal.findLast(({ kind, outcome }) => kind === 'prune' && outcome === 'succeeded');
  const lowered = last === undefined ? undefined : whatWasLowered(last.numbers, policy);
  if (lowered !== undefined) return `${lowered} since the last prune, and ${condemned} backups would be deleted`;
  const since = last?.endedAt ?? undefined;
  const backups = journal.filter(
    ({ kind, outcome, endedAt }) =>
      kind === 'backup' && outcome === 'succeeded' && since !== undefined && endedAt !== null && endedAt > since,
  ).length;
  const usual = Math.max(1, backups) + 1;
  return condemned > usual ? `${condemned} backups would be deleted, usual would be at most ${usual}` : undefined;
}

/** The prunes that wait for a person, at the destination and where there is one at the second; one that ran since answers it. */
export function waitingPrunes(journal: readonly JournalRecord[], hasSecond: boolean): readonly Trouble[] {
  const telling = journal.filter(
    ({ kind, outcome, about }) => kind === 'prune' && (outcome === 'succeeded' || about['waits'] !== undefined),
  );
  const newest = [
    telling.findLast((each) => !isOfSecond(each)),
    hasSecond ? telling.findLast((each) => isOfSecond(each)) : undefined,
  ];
  return newest.flatMap((each) => {
    const failure = each?.failure ?? null;
    return failure === null ? [] : [{ ...failure, hint: failure.hint ?? undefined }];
  });
}

function whatWasLowered(before: JournalRecord['numbers'], { count, days }: RetentionPolicy): string | undefined {
  const { retentionCount: oldCount, retentionDays: oldDays } = before;
  if (oldCount !== undefined && count < oldCount) return `retention-count was lowered from ${oldCount} to ${count}`;
  if (oldDays !== undefined && days < oldDays) return `retention-days was lowered from ${oldDays} to ${days}`;
  return undefined;
}
