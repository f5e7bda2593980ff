import { Failure } from '../core/failure.ts';
import { jujuRun } from '../core/juju-words.ts';
import { isGivenUp, type Intent } from '../core/site-restore.ts';
import * as z from 'zod';
import {
  addresseeOf,
  followJob,
  needDatabase,
  optionsOf,
  type Action,
  type ActionCall,
  type ActionResult,
} from './action.ts';
import { restoreView, spokesman } from '../hooks/restore-stage.ts';
import { latestIntent } from './open-restore.ts';
import { write } from './restore.ts';

/** `abandon-restore`: has every unit put back what was there before the restore. */
export const abandonRestore: Action = {
  name: 'abandon-restore',
  run: async (call) => {
    const intent = latestIntent(call.snapshot);
    if (intent === undefined) {
      needDatabase(call, 'abandon-restore');
      return await followJob(call, ['abandon-restore', ...optionsOf(call.params, 'confirm')]);
    }
    const { unit } = call.snapshot.environment;
    if (intent.planner !== unit && spokesman(call.snapshot, intent) !== unit) throw elsewhere(call, intent);
    const confirm = z.string().catch('').parse(call.params['confirm']);
    if (confirm === '') return asked(call, intent);
    if (confirm !== intent.planId) {
      throw new Failure('refused', `the restore is of plan ${intent.planId}, not ${confirm}`, {
        hint: 'landscape-backup abandon-restore says what would be undone.',
      });
    }
    return await giveUp(call, intent);
  },
};

function elsewhere({ snapshot }: ActionCall, { planner, planId }: Intent): Failure {
  return new Failure('refused', `the restore of plan ${planId} was made by ${planner}`, {
    hint: jujuRun({ ...addresseeOf(snapshot), unit: planner }, 'abandon-restore'),
  });
}

function asked({ snapshot }: ActionCall, intent: Intent): ActionResult {
  const { planId, units } = intent;
  if (isGivenUp(restoreView(snapshot, intent))) {
    throw new Failure('refused', `the restore of plan ${planId} is given up already`, {
      hint: 'landscape-backup restore makes a new plan.',
    });
  }
  return {
    text: [
      `the restore of plan ${planId} would be undone: what it made is deleted, and what was there before is put back, on`,
      ...units.map(({ unit, roles }) => `  ${unit}: ${roles.includes('postgresql') ? 'the database' : 'files'}`),
      'Nothing has been changed yet. To do it:',
      `  ${jujuRun(addresseeOf(snapshot), 'abandon-restore', `confirm=${planId}`)}`,
    ].join('\n'),
    json: { planId, units: units.map(({ unit }) => unit) },
  };
}

async function giveUp(call: ActionCall, intent: Intent): Promise<ActionResult> {
  if (isGivenUp(restoreView(call.snapshot, intent))) return asked(call, intent);
  const again = intent.kind === 'abandon';
  if (!again && intent.planner === call.snapshot.environment.unit) await refuseLoss(call, intent);
  const { environment, others } = call.snapshot;
  const gone = intent.units.map(({ unit }) => unit).filter((unit) => unit !== environment.unit && !others.has(unit));
  const next: Intent = {
    ...intent,
    kind: 'abandon',
    sequence: intent.sequence + 1,
    run: again ? intent.run : intent.sequence + 1,
    attempt: again ? intent.attempt + 1 : 1,
    // Who is gone can't give back what it no longer is.
    without: [...new Set([...intent.without, ...gone])],
    ended: false,
    at: call.machine.now(),
  };
  await write(call, next);
  return {
    text: `the restore of plan ${intent.planId} is given up on ${intent.units.map(({ unit }) => unit).join(', ')}\n  next: juju status shows when each unit is as it was`,
    json: { planId: intent.planId, run: next.run, attempt: next.attempt },
  };
}

/** What can't be put back is said before anybody begins: once given up, a restore can't go on. */
async function refuseLoss(call: ActionCall, { planId }: Intent): Promise<void> {
  const { json } = await followJob(call, ['abandon-restore', '--check', '--if-begun', `--confirm=${planId}`]);
  if (!stillChecking.safeParse(json).success) return;
  throw new Failure('busy', `whether the restore of plan ${planId} can be undone is still being looked at`, {
    hint: `Try again in a minute: ${jujuRun(addresseeOf(call.snapshot), 'abandon-restore', `confirm=${planId}`)}`,
  });
}

const stillChecking = z.object({ job: z.string() });
