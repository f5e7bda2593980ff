import { Failure } from '../core/failure.ts';
import { principalRun } from '../core/juju-words.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import { publishedFacts } from '../hooks/site-facts.ts';
import type { Snapshot } from '../hooks/snapshot.ts';

/** Refuses a restore before anything is stopped where a unit is not what the plan was made for, or still has to be paused. */
export function refuseUnready(snapshot: Snapshot, plan: RestorePlan): void {
  const { environment, others } = snapshot;
  const facts = new Map([...others].map(([unit, bag]) => [unit, bag.facts]));
  facts.set(environment.unit, publishedFacts(snapshot));
  const fresh = 'Make a new plan: landscape-backup restore';
  const planned = new Set(plan.units.map(({ unit }) => unit));
  for (const [unit, said] of facts) {
    if (said === undefined || said.landscape === null || planned.has(unit)) continue;
    throw new Failure('refused', `the plan does not know the Landscape unit ${unit}, which is there now`, {
      hint: fresh,
    });
  }
  const running: string[] = [];
  for (const { unit, endpointsDigest, profile } of plan.units) {
    const now = facts.get(unit)?.landscape ?? undefined;
    if (now === undefined) throw new Failure('refused', `${unit}, which the plan is for, is gone`, { hint: fresh });
    if (now.endpointsDigest !== endpointsDigest)
      throw new Failure('refused', `the endpoints of ${unit} have changed since the plan was made`, { hint: fresh });
    if (profile === 'charmed' && now.running) running.push(facts.get(unit)?.principal ?? unit);
  }
  refuseReplicas(snapshot);
  if (running.length === 0) return;
  throw new Failure('refused', `Landscape still runs on ${running.join(', ')}; nothing was changed`, {
    hint: `${running.map((principal) => principalRun(environment.version, principal, 'pause')).join('; ')}; then the same command again`,
  });
}

/** A standby would follow the old timeline, or be torn from its primary: it is made anew after the restore. */
function refuseReplicas({ others, local }: Snapshot): void {
  const own = local.cluster?.cluster?.systemIdentifier ?? undefined;
  for (const [unit, { facts }] of others) {
    const other = facts?.cluster ?? undefined;
    if (other?.inRecovery !== true || own === undefined || other.systemIdentifier !== own) continue;
    throw new Failure('refused', `${unit} is a standby of the cluster that would be overwritten`, {
      hint: `Remove it first (juju remove-unit ${facts?.principal ?? unit}) and add it again after the restore.`,
    });
  }
}
