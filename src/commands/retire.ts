import { Failure } from '../core/failure.ts';
import { formatBytes } from '../core/words.ts';
import type { PruneContext } from '../jobs/prune-plan.ts';
import { planRetirement, retireParent } from '../jobs/retire-parent.ts';
import type { SecondPlace } from '../jobs/second.ts';
import type { Result } from './output.ts';
import { atSecond, whileNotKept } from './prune-both.ts';

/** Retires the parent's line at the destination, and when nothing of it is left there, at the second. */
export async function retire(context: SecondPlace, site: PruneContext, confirm: string | undefined): Promise<Result> {
  if (context.settings.second === undefined) return await retireAt(site, confirm);
  if ((await planRetirement(site)).objects > 0) {
    const { text, ...result } = await retireAt(site, confirm);
    if (!('retired' in result.json)) return { text, ...result };
    const next =
      'what lies of it at the second destination stays. Next, for that:\n  landscape-backup prune --retire-parent';
    return { text: `${text}\n${next}`, ...result };
  }
  const there = await whileNotKept(
    context,
    async () => await atSecond(context, site, async (second) => await retireAt(second, confirm)),
  );
  if (there !== undefined) return { ...there, text: `at the second destination: ${there.text}` };
  throw new Failure('unavailable', 'the second destination is away or lacks something: the line stays there for now', {
    hint: 'landscape-backup status says which. Then: landscape-backup prune --retire-parent',
  });
}

async function retireAt(site: PruneContext, confirm: string | undefined): Promise<Result> {
  const done = confirm === undefined ? undefined : await retireParent(site, confirm);
  const plan = done ?? (await planRetirement(site));
  const what = `incarnation ${plan.place.incarnation} of ${plan.owner.unit} on ${plan.owner.application}: ${plan.backups.length} backups, ${plan.objects} objects, ${formatBytes(plan.bytes)}`;
  if (done !== undefined) return { text: `retired ${what}`, json: { retired: plan } };
  const changed =
    confirm === undefined ? [] : [`nothing was deleted: the plan ${confirm} is not what would be deleted now`];
  const next =
    plan.objects === 0
      ? ['nothing is left of it']
      : [
          'nothing has been deleted yet. To delete all of it:',
          `  landscape-backup prune --retire-parent --confirm=${plan.id}`,
        ];
  const text = [...changed, what, `its owner's last sign of life: ${plan.lastSignOfLife.toISOString()}`, ...next].join(
    '\n',
  );
  return { text, json: { plan }, exitCode: confirm === undefined ? 0 : 4 };
}
