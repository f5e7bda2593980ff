import { Failure } from '../core/failure.ts';
import { jujuRun } from '../core/juju-words.ts';
import { restorePlanSchema, type RestorePlan } from '../core/restore-plan.ts';
import type { Intent } from '../core/site-restore.ts';
import { nextStep } from '../core/site-restore.ts';
import * as z from 'zod';
import { applicationFields, unitFields } from '../hooks/bags.ts';
import { restoreView, spokesman } from '../hooks/restore-stage.ts';
import { siteOf, publishedFacts } from '../hooks/site-facts.ts';
import {
  addresseeOf,
  followOpening,
  givenIdentity,
  needDatabase,
  optionsOf,
  type Action,
  type ActionCall,
  type ActionResult,
} from './action.ts';
import { latestIntent, openRestore } from './open-restore.ts';
import { refuseUnready } from './restore-readiness.ts';

/** The parameters that make a plan; with `confirm` the plan itself says all of it. */
const planOptions = [
  'to',
  'exclusive',
  'backup',
  'timeline',
  'incarnation',
  'system-identifier',
  'in-place',
  'take-over',
  'discard-old',
  'credentials',
] as const;

const checkedSchema = z.object({ plan: restorePlanSchema });

/**
 * `restore`: prints a plan; with `confirm` has it run over all units.
 *
 * It never follows the restore: what it writes into its bag is seen when it has ended, and its unit runs no hook until then.
 */
export const restore: Action = {
  name: 'restore',
  run: async (call) => {
    const { confirm, without } = z
      .object({ confirm: z.string().catch(''), without: z.string().catch('') })
      .parse(call.params);
    needDatabase(call, 'restore', ...(confirm === '' ? optionsAsParams(call) : []));
    if (confirm !== '')
      return await confirmed(
        call,
        confirm,
        without.split(/[\s,]+/).filter((unit) => unit !== ''),
      );
    if (without !== '') {
      throw new Failure('refused', 'without leaves a lost unit out of a restore that runs, it needs confirm', {
        hint: 'landscape-backup restore --without=<unit> --confirm=<plan id>',
      });
    }
    return await printPlan(call);
  },
};

function optionsAsParams({ params }: ActionCall): readonly string[] {
  return optionsOf(params, ...planOptions, 'files-from', 'identity').map((option) =>
    option.replace(/^--([a-z-]+)$/, '--$1=true').slice(2),
  );
}

async function printPlan(call: ActionCall): Promise<ActionResult> {
  const { snapshot, machine, params } = call;
  const open = openRestore(snapshot);
  if (open !== undefined) throw underWay(call, open);
  await machine.writeSite(siteOf(snapshot, publishedFacts(snapshot), machine.now()));
  const filesFrom = String(params['files-from'] ?? '')
    .split(/\s+/)
    .filter((each) => each !== '');
  const printed = await followOpening(call, [
    'restore',
    ...optionsOf(params, ...planOptions),
    ...filesFrom.map((each) => `--files-from=${each}`),
  ]);
  const identity = givenIdentity(call);
  if (identity === '') return printed;
  // Who confirms has to name it once more: nothing of it is kept.
  return { ...printed, text: printed.text.replaceAll(/ confirm=\w+/g, `$& identity=${identity}`) };
}

function underWay({ snapshot }: ActionCall, intent: Intent): Failure {
  const { planId, kind } = intent;
  const planning = { ...addresseeOf(snapshot), unit: spokesman(snapshot, intent) };
  return new Failure(
    'refused',
    `a restore of plan ${planId} is ${kind === 'restore' ? 'under way' : 'being given up'}`,
    {
      hint: `juju status tells how far it is; ${jujuRun(planning, 'abandon-restore', `confirm=${planId}`)} goes back.`,
    },
  );
}

async function confirmed(call: ActionCall, id: string, without: readonly string[]): Promise<ActionResult> {
  const { snapshot } = call;
  const open = openRestore(snapshot);
  if (open !== undefined && (open.planId !== id || open.kind !== 'restore')) throw underWay(call, open);
  if (open !== undefined) return await goOn(call, open, without);
  if (without.length > 0) {
    throw new Failure('refused', `no restore of plan ${id} runs that ${without.join(', ')} could be left out of`, {
      hint: 'Before the restore begins, make a new plan without the unit: remove it from the model.',
    });
  }
  const { json } = await followOpening(call, ['restore', '--check', `--confirm=${id}`]);
  const checked = checkedSchema.safeParse(json);
  if (!checked.success) {
    throw new Failure('busy', `the plan ${id} is still being checked`, {
      hint: `Try again in a minute: ${jujuRun(addresseeOf(snapshot), 'restore', `confirm=${id}`)}`,
    });
  }
  refuseUnready(snapshot, checked.data.plan);
  return await begin(call, id, checked.data.plan);
}

async function begin(call: ActionCall, id: string, plan: RestorePlan): Promise<ActionResult> {
  const { snapshot, machine } = call;
  const { environment, roles, application, own } = snapshot;
  const before = Math.max(
    application.restore?.sequence ?? 0,
    own.intent?.sequence ?? 0,
    latestIntent(snapshot)?.sequence ?? 0,
  );
  const files = new Map(plan.units.map((unit) => [unit.unit, unit]));
  const others = [...files.keys()].filter((unit) => unit !== environment.unit);
  const intent: Intent = {
    format: 1,
    sequence: before + 1,
    run: before + 1,
    kind: 'restore',
    planId: id,
    planner: environment.unit,
    attempt: 1,
    credentials: plan.credentials,
    identity: givenIdentity(call) || null,
    units: [
      { unit: environment.unit, roles: [...roles], files: files.get(environment.unit) ?? null },
      ...others.map((unit) => ({ unit, roles: ['landscape' as const], files: files.get(unit) ?? null })),
    ],
    without: [],
    ended: false,
    at: machine.now(),
  };
  await write(call, intent);
  return told(call, intent, `the restore of plan ${id} begins on ${intent.units.map(({ unit }) => unit).join(', ')}`);
}

/** The same confirm once more: what failed is tried again, and a unit that was lost may be left out. */
async function goOn(call: ActionCall, open: Intent, without: readonly string[]): Promise<ActionResult> {
  const { snapshot, machine } = call;
  const { planId, planner, units } = open;
  if (planner !== snapshot.environment.unit) {
    throw new Failure('refused', `the plan ${planId} was made by ${planner}, and is confirmed there`, {
      hint: jujuRun({ ...addresseeOf(snapshot), unit: planner }, 'restore', `confirm=${planId}`),
    });
  }
  const stranger = without.find((each) => !units.some(({ unit }) => unit === each));
  if (stranger !== undefined) {
    throw new Failure('refused', `${stranger} has no part in the restore of plan ${planId}`, {
      hint: `Those who have: ${units.map(({ unit }) => unit).join(', ')}.`,
    });
  }
  const step = nextStep(restoreView(snapshot, open));
  if (step.is === 'lost') {
    const missing = step.units.filter((unit) => !without.includes(unit));
    if (!step.mayLeaveOut || missing.length > 0) {
      throw new Failure('refused', `${step.units.join(', ')} ${step.units.length === 1 ? 'is' : 'are'} gone`, {
        hint: step.mayLeaveOut
          ? `landscape-backup restore --without=${step.units.join(',')} --confirm=${open.planId}`
          : `Nothing was touched yet: landscape-backup abandon-restore --confirm=${open.planId}; then make a new plan.`,
      });
    }
  }
  const present = without.find((unit) => unit === snapshot.environment.unit || snapshot.others.has(unit));
  if (present !== undefined) {
    throw new Failure('refused', `${present} is there: only a unit that is gone can be left out`, {
      hint: 'juju status tells what it waits for.',
    });
  }
  if (step.is !== 'failed' && step.is !== 'lost')
    return told(
      call,
      open,
      `the restore of plan ${open.planId} is under way: ${step.is} ${'stage' in step ? step.stage : ''}`,
    );
  const next: Intent = {
    ...open,
    sequence: open.sequence + 1,
    attempt: open.attempt + 1,
    without: [...new Set([...open.without, ...without])],
    identity: givenIdentity(call) || open.identity,
    at: machine.now(),
  };
  await write(call, next);
  return told(call, next, `the restore of plan ${open.planId} goes on`);
}

/** Into our own bag; the leader copies it, and where that is this unit, nobody would wake it for it. */
export async function write({ snapshot, tools }: ActionCall, intent: Intent): Promise<void> {
  const { peers, isLeader } = snapshot;
  if (peers === undefined) {
    throw new Failure('internal', 'the peer relation is not there yet', { hint: 'Try again in a minute.' });
  }
  await tools.relationSet(peers, 'unit', unitFields.intent.write(intent));
  if (isLeader) await tools.relationSet(peers, 'app', applicationFields.restore.write(intent));
}

function told(_call: ActionCall, { planId, run, attempt }: Intent, text: string): ActionResult {
  return {
    text: `${text}\n  next: juju status --watch 5s shows every unit's stage`,
    json: { planId, run, attempt },
  };
}
