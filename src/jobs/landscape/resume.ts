import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { Failure } from '../../core/failure.ts';
import type { LandscapePlan } from '../../core/landscape-restore.ts';
import { lowerFence, readFence } from '../../landscape/fence.ts';
import { findHashIdScript, renewHashIds, type HashIds } from '../../landscape/hash-ids.ts';
import { readServices, startServices, target, type Service } from '../../landscape/services.ts';
import { readJson, writeJson } from '../../system/files.ts';
import { makePrivateFolder } from '../../system/home.ts';
import { principalAction, restoreFolder, type LandscapeContext } from './context.ts';
import { withRestoreLock } from './restore-files.ts';

/** What became of a unit at the end of a restore. */
export interface Resumed {
  readonly services: readonly Pick<Service, 'unit' | 'state'>[];
  readonly hashIds: HashIds | null;
  /** What is left to the operator, or worth to know. */
  readonly notes: readonly string[];
}

/** `<plan id>.ending.json`: what must still be known when the fence is gone. */
const endingSchema = z.object({
  format: z.literal(1),
  kind: z.enum(['resume', 'abandon']),
  running: z.array(z.string()),
  hashIds: z.discriminatedUnion('is', [
    z.object({ is: z.literal('not-tried') }),
    z.object({ is: z.literal('made') }),
    z.object({ is: z.literal('not-made'), why: z.string() }),
  ]),
});
export type Ending = z.infer<typeof endingSchema>;

/** What is known of the end of a restore, when it has begun. */
export async function readEnding(context: Pick<LandscapeContext, 'unit'>, planId: string): Promise<Ending | undefined> {
  return await readJson(endingFile(context, planId), endingSchema);
}

export function endingFile({ unit }: Pick<LandscapeContext, 'unit'>, planId: string): string {
  return join(unit.restore, `${planId}.ending.json`);
}

/**
 * Ends a restore on this unit: the hash-id databases are made again for the restored databases, the fence goes, services are
 * started and each is asked. On a charmed unit starting is the principal's, by `resume`.
 *
 * Hash-id databases that could not be made are told and no failure. May be repeated.
 */
export async function resume(context: LandscapeContext, plan: LandscapePlan): Promise<Resumed> {
  return await withRestoreLock(context, async () => {
    const place = { machine: context.machine, folder: context.unit.path };
    const fence = await readFence(place);
    if (fence !== undefined && fence.planId !== plan.planId) {
      throw new Failure('refused', `this unit is fenced for the plan ${fence.planId}, not for ${plan.planId}`, {
        hint: `landscape-backup resume --plan ${fence.planId}`,
      });
    }
    const before = await readEnding(context, plan.planId);
    if (fence === undefined && before === undefined) {
      return {
        services: await asked(),
        hashIds: null,
        notes: ['this unit was not fenced: there is nothing to resume'],
      };
    }
    const ending = await beginEnding(
      context,
      plan,
      before ?? { format: 1, kind: 'resume', running: fence?.running ?? [], hashIds: { is: 'not-tried' } },
    );
    const early = await makeHashIds(context, plan, ending, false);
    await lowerFence(place);
    const started = plan.profile === 'charmed' ? undefined : await startAll(ending.running);
    const { hashIds } = await makeHashIds(context, plan, early, true);
    await forgetStaged(context, plan);
    const notes = hashIds.is === 'not-made' ? [`hash-id databases were not made: ${hashIds.why}`] : [];
    if (started === undefined) notes.push(`the services are the charm's: ${principalAction(context, 'resume')}`);
    else refuseFailed(started, ending.running);
    return { services: started ?? (await asked()), hashIds: hashIds.is === 'not-tried' ? null : hashIds, notes };
  });
}

async function asked(): Promise<Resumed['services']> {
  return (await readServices()).map(({ unit, state }) => ({ unit, state }));
}

/** Makes it durable how a restore ends here. */
export async function beginEnding(
  context: Pick<LandscapeContext, 'unit'>,
  plan: LandscapePlan,
  ending: Ending,
): Promise<Ending> {
  await makePrivateFolder(context.unit.restore);
  await writeJson(endingFile(context, plan.planId), endingSchema, ending);
  return ending;
}

/** The script that ignores Landscape's flag runs while nobody can interfere; the others do nothing before it is gone. */
async function makeHashIds(
  context: LandscapeContext,
  plan: LandscapePlan,
  ending: Ending,
  isOpen: boolean,
): Promise<Ending> {
  if (ending.hashIds.is !== 'not-tried') return ending;
  const script = await findHashIdScript(context.machine);
  if (!isOpen && script?.needsFlagGone !== false) return ending;
  context.progress({ phase: 'making hash-id databases', note: 'this may take half an hour' });
  const hashIds = await renewHashIds(context.machine, context.signal);
  context.signal?.throwIfAborted();
  return await beginEnding(context, plan, { ...ending, hashIds });
}

/** Starts what ran before, and what systemd would start at a boot. */
export async function startAll(running: readonly string[]): Promise<readonly Service[]> {
  const services = await readServices();
  const wanted = services.filter(({ unit, isWanted }) => isWanted && (unit === target || running.includes(unit)));
  const units = running.length === 0 ? services.filter(({ isWanted }) => isWanted) : wanted;
  return await startServices(units.map(({ unit }) => unit));
}

/** What ran before must run again, and nothing may have failed; what does its work and ends is `inactive`. */
export function refuseFailed(services: readonly Service[], running: readonly string[]): void {
  const failed = services.filter(
    ({ unit, state, isRunning }) => state === 'failed' || (!isRunning && running.includes(unit)),
  );
  if (failed.length === 0) return;
  const names = failed.map(({ unit, state }) => `${unit} is ${state}`).join(', ');
  throw new Failure('machine', `these services of Landscape did not start: ${names}`, {
    hint: `journalctl -u ${failed[0]?.unit ?? target} says why; then try again.`,
  });
}

/** Production's files lie here in clear: they are not kept longer than they are needed. */
export async function forgetStaged(
  context: Pick<LandscapeContext, 'unit'>,
  { planId }: Pick<LandscapePlan, 'planId'>,
): Promise<void> {
  await rm(restoreFolder(context, planId).staging, { recursive: true, force: true });
}
