import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../core/failure.ts';
import { isPlanId, planIdOf } from '../core/plan-id.ts';
import { keptPlanSchema, restorePlanSchema, type KeptPlan, type RestorePlan } from '../core/restore-plan.ts';
import { readJson, removeFile, writeJson } from '../system/files.ts';
import { makePrivateFolder, type UnitFolder } from '../system/home.ts';

const keptPlans = 20;

/** A plan's id: made of the SHA-256 over all its decisions, in one fixed order. */
export function planId(plan: RestorePlan): string {
  const { notes: _notes, ...decisions } = restorePlanSchema.encode(plan);
  return planIdOf(createHash('sha256').update(canonical(decisions)).digest('hex'));
}

/** JSON with the names of every object in order, whoever wrote it. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join(',')}}`;
}

/** Keeps a plan on the unit, so that it can be confirmed by its id; the oldest beyond 20 go. */
export async function keepPlan(unit: UnitFolder, plan: RestorePlan, madeAt: Date): Promise<KeptPlan> {
  const kept: KeptPlan = { id: planId(plan), madeAt, plan };
  await makePrivateFolder(unit.plans);
  await writeJson(fileOf(unit, kept.id), keptPlanSchema, kept);
  await forgetOldest(unit);
  return kept;
}

/** The plan of that id, as it was printed. Fails with `refused` for an id that this unit did not print, or not lately. */
export async function loadPlan(unit: UnitFolder, id: string): Promise<KeptPlan> {
  const kept = isPlanId(id) ? await readJson(fileOf(unit, id), keptPlanSchema) : undefined;
  if (kept === undefined) {
    throw new Failure('refused', `there is no plan ${id} on this unit`, {
      hint: 'Make the plan here first: the same command without --confirm prints it with its id.',
    });
  }
  if (planId(kept.plan) !== kept.id || kept.id !== id) {
    throw new Failure('damaged', `the kept plan ${id} is not the one that was printed`, { hint: 'Make a new plan.' });
  }
  return kept;
}

async function forgetOldest(unit: UnitFolder): Promise<void> {
  const plans: { path: string; madeAt: number }[] = [];
  for (const name of await readdir(unit.plans)) {
    if (!(name.endsWith('.json') && isPlanId(name.slice(0, -'.json'.length)))) continue;
    const path = join(unit.plans, name);
    plans.push({ path, madeAt: await madeAtOf(path) });
  }
  plans.sort((a, b) => b.madeAt - a.madeAt);
  for (const { path } of plans.slice(keptPlans)) await removeFile(path);
}

/** A plan that can't be read can't be confirmed either: it is the first to go. */
async function madeAtOf(path: string): Promise<number> {
  try {
    return (await readJson(path, keptPlanSchema))?.madeAt.getTime() ?? 0;
  } catch {
    return 0;
  }
}

function fileOf(unit: UnitFolder, id: string): string {
  return join(unit.plans, `${id}.json`);
}
