import { Option } from 'commander';
import type { RetentionPlan } from '../core/retention-plan.ts';
import { segmentName } from '../core/wal-name.ts';
import { formatBytes } from '../core/words.ts';
import { makePrunePlan, type PruneContext, type PrunePlan } from '../jobs/prune-plan.ts';
import { planRetirement, retireParent } from '../jobs/retire-parent.ts';
import { prune as carryOut, type PruneOutcome } from '../jobs/prune.ts';
import { withRepository } from './context.ts';
import type { Result } from './output.ts';
import { pruneContext } from './prune-context.ts';
import { flag, textOption, type Verb } from './program.ts';

/** `prune`: prints what would expire, or deletes what was printed. */
export const prune: Verb = {
  name: 'prune',
  summary: 'print what has expired and why; --confirm deletes it',
  help: `By itself this deletes nothing. After a scheduled backup what has expired goes by itself, unless it is far more than
usual: then it waits for this.

  landscape-backup prune
  landscape-backup prune --confirm=<plan id>
  landscape-backup prune --retire-parent       the line that this cluster was restored from, when its owner is dead`,
  options: [
    new Option(
      '--retire-parent',
      "delete the parent's line, after no sign of life for retention-days; --confirm does it",
    ),
    new Option('--confirm <plan id>', 'delete what the plan with this id says, nothing else'),
  ],
  run: async (context, options) =>
    await withRepository(context, async (repository) => {
      const confirm = textOption(options, 'confirm');
      const site = pruneContext(context, repository);
      if (flag(options, 'retireParent')) return await retire(site, confirm);
      if (confirm === undefined) return printed(await makePrunePlan(site));
      return outcome(await carryOut(site, { by: 'person', confirm }), confirm);
    }),
};

async function retire(site: PruneContext, confirm: string | undefined): Promise<Result> {
  const done = confirm === undefined ? undefined : await retireParent(site, confirm);
  const plan = done ?? (await planRetirement(site));
  const what = `incarnation ${plan.place.incarnation} of ${plan.owner.unit} on ${plan.owner.application}: ${plan.backups.length} backups, ${plan.objects} objects, ${formatBytes(plan.bytes)}`;
  if (done !== undefined) return { text: `retired ${what}`, json: { retired: plan } };
  const changed =
    confirm === undefined ? [] : [`nothing was deleted: the plan ${confirm} is not what would be deleted now`];
  const text = [
    ...changed,
    what,
    `its owner's last sign of life: ${plan.lastSignOfLife.toISOString()}`,
    'nothing has been deleted yet. To delete all of it:',
    `  landscape-backup prune --retire-parent --confirm=${plan.id}`,
  ].join('\n');
  return { text, json: { plan }, exitCode: confirm === undefined ? 0 : 4 };
}

function printed(plan: PrunePlan): Result {
  return { text: describe(plan), json: { plan: toJson(plan) } };
}

/** Exit code 4, as any refusal: what was confirmed is not what would be deleted now. */
function outcome(result: PruneOutcome, confirmed: string): Result {
  if (result.is === 'changed') {
    const text = `nothing was deleted: the plan ${confirmed} is not what would be deleted now\n\n${describe(result.plan)}`;
    return { text, json: { changed: true, plan: toJson(result.plan) }, exitCode: 4 };
  }
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
