import { z } from 'zod';
import { intentSchema, type Intent } from '../../src/core/site-restore.ts';
import { Refused } from '../juju/simulator/refused.ts';
import { app, RestoreWorld } from './restore-world.ts';
import { Broken } from './restore-truth.ts';

/** What became of a restore. */
type Outcome = 'restored' | 'abandoned' | 'not begun';

/** Several restores are told in one world, one after another: what an earlier one left must mean nothing to a later one. */
const storiesPerWorld = 8;

/** How many Landscape units a world begins with. */
const landscapeUnits = [1, 1, 1, 2, 1, 1, 3] as const;

/**
 * Tells stories in so many worlds, and counts what became of the restores. The first that breaks a promise ends it, with the
 * seed of its world and the story's number: `tellStories(version, { worlds: 1, seed })` tells it again.
 */
export async function tellStories(
  version: string,
  { worlds, seed: first }: { readonly worlds: number; readonly seed: number },
): Promise<Readonly<Record<Outcome, number>>> {
  const outcomes = { restored: 0, abandoned: 0, 'not begun': 0 };
  for (let seed = first; seed < first + worlds; seed += 1) {
    const world = await RestoreWorld.make(seed, landscapeUnits[seed % landscapeUnits.length] ?? 1, version);
    for (let story = 0; story < storiesPerWorld; story += 1) {
      try {
        outcomes[await tellRestore(world)] += 1;
        await renew(world);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`Juju ${version}, seed ${seed}, story ${story}: ${why}\n${told(world)}`, { cause: error });
      }
    }
  }
  return outcomes;
}

/** Time passes, and there are new machines for those that were lost. */
async function renew(world: RestoreWorld): Promise<void> {
  const { model, random, truth } = world;
  truth.settled();
  if (world.ours('postgresql').length === 0) {
    model.addUnit('postgresql');
    await world.calm();
  }
  if (world.ours('landscape-server').length > 0) return;
  model.addUnit('landscape-server');
  if (random.chance(0.5)) await world.calm();
}

/**
 * Tells one restore: a plan is confirmed, then anything happens, then a calm day on which the operator does what the statuses
 * say. Fails with `Broken` where a promise was broken.
 */
async function tellRestore(world: RestoreWorld): Promise<Outcome> {
  const { random, truth } = world;
  const planner = world.ours('postgresql')[0] ?? '';
  const printed = await world.model.run(planner, 'restore');
  const plan = /Plan ([a-f0-9]{16})/.exec(String(printed.results['result']))?.[1];
  if (plan === undefined) throw new Broken(`no plan was printed: ${printed.message}`);
  Object.assign(world.weather, { crash: random.pick([0, 0.02, 0.1]), stale: random.pick([0, 0.3]) });
  world.ask(planner, 'restore', { confirm: plan });
  for (let steps = 5 + random.below(45); steps > 0; steps -= 1) {
    await happen(world, plan);
    if (world.broken !== undefined) throw world.broken;
  }
  return await conclude(world, plan, truth.plans.get(plan)?.planner ?? '');
}

/** One thing of all that may happen. */
async function happen(world: RestoreWorld, plan: string): Promise<void> {
  const { random, model, sim } = world;
  const dice = random.below(100);
  if (dice < 52) await sim.step();
  else if (dice < 75) endSomeJob(world);
  else if (dice < 80) killSomeAgent(world);
  else if (dice < 86) moveLeadership(world);
  else if (dice < 91) model.updateStatus(random.pick(model.unitsOf(app)));
  else if (dice < 98) operate(world, plan);
  else if (dice < 99) scaleIn(world);
  else if (world.ours('landscape-server').length < 3) model.addUnit('landscape-server');
  world.bury();
}

function endSomeJob(world: RestoreWorld): void {
  const running = world.pending();
  if (running.length === 0) return;
  const { machine, job } = world.random.pick(running);
  const dice = world.random.below(100);
  world.guard(() => {
    if (dice < 76) machine.finish(job.id);
    else if (dice < 86) machine.fail(job.id, 'something is in the way');
    else machine.lose(job.id, { worked: dice < 93 });
  });
  if (world.random.chance(0.75)) world.model.wake(machine.unit, 'job-ended');
}

function killSomeAgent({ model, random }: RestoreWorld): void {
  const units = model.unitsOf(app).filter((unit) => model.unit(unit).started);
  if (units.length > 0) model.killAgent(random.pick(units));
}

function moveLeadership({ model, random }: RestoreWorld): void {
  const units = model.unitsOf(app).filter((unit) => model.unit(unit).life === 'alive' && model.unit(unit).installed);
  if (units.length > 0) model.moveLeadership(app, random.pick(units));
}

/** What an operator may do in his impatience. */
function operate(world: RestoreWorld, plan: string): void {
  const { random, model, truth } = world;
  const planner = truth.plans.get(plan)?.planner ?? '';
  const kind = random.below(4);
  if (kind === 0) world.ask(planner, 'restore', { confirm: plan });
  else if (kind === 1 && random.chance(0.4)) world.ask(planner, 'abandon-restore', { confirm: plan });
  else if (kind === 2) {
    const lost = (truth.plans.get(plan)?.participants ?? []).filter(
      (unit) => model.state.units.get(unit) === undefined,
    );
    if (lost.length > 0) leaveOut(world, planner, plan, lost);
  } else {
    const blocked = world.statuses().filter(({ status }) => status === 'blocked');
    if (blocked.length > 0) follow(world, random.pick(blocked).message);
  }
}

function leaveOut(world: RestoreWorld, planner: string, plan: string, lost: readonly string[]): void {
  for (const unit of lost) world.truth.plans.get(plan)?.leftOut.add(unit);
  world.ask(planner, 'restore', { confirm: plan, without: lost.join(',') });
}

function scaleIn({ model, random }: RestoreWorld): void {
  const principals = [...model.unitsOf('landscape-server'), ...(random.chance(0.4) ? model.unitsOf('postgresql') : [])];
  if (principals.length > 0) model.removeUnit(random.pick(principals));
}

/** The commands that a status names, as an operator types them. */
function commandsOf(message: string): readonly { unit: string; action: string; params: Record<string, string> }[] {
  return [...message.matchAll(/juju run(?:-action)? (landscape-backup\/\d+) ([a-z-]+)((?: [a-z-]+=[^\s;]+)*)/g)].map(
    ([, unit = '', action = '', words = '']) => ({
      unit,
      action,
      params: Object.fromEntries(
        words
          .trim()
          .split(' ')
          .filter((word) => word !== '')
          .map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
      ),
    }),
  );
}

/** Does one of the commands that a status of a restore names, whichever; nothing where it names none. */
function follow(world: RestoreWorld, message: string): { unit: string; action: string } | undefined {
  const commands = commandsOf(message).filter(({ action }) => action === 'restore' || action === 'abandon-restore');
  const about = commands.filter(({ params }) => params['confirm'] !== undefined);
  if (about.length === 0) return undefined;
  const command = world.random.pick(about);
  const { unit, action, params } = command;
  const without = params['without'];
  if (without !== undefined) leaveOut(world, unit, params['confirm'] ?? '', without.split(','));
  else world.ask(unit, action, params);
  return command;
}

/** A calm day: whatever blocks is answered with what its status says, and it has to help. */
async function conclude(world: RestoreWorld, plan: string, planner: string): Promise<Outcome> {
  for (let round = 0; round < 8; round += 1) {
    await world.calm();
    if (world.broken !== undefined) throw world.broken;
    if (world.model.unitsOf(app).length === 0) {
      // Nobody is left: who comes next finds a restore that nobody has a part in any more.
      world.model.addUnit('postgresql');
      world.model.addUnit('landscape-server');
      continue;
    }
    const intent = intentOf(world);
    const isAbout = (message: string) => message.includes(plan) && !message.startsWith('restored by plan');
    const first = world.statuses().find(({ status, message }) => status === 'blocked' && isAbout(message));
    // A unit that was taken for gone may give back what it has later, and fail.
    if (first === undefined && intent?.planId === plan && intent.ended) return ended(world, intent);
    if (first !== undefined) {
      await obey(world, first.message);
      continue;
    }
    if (intent?.planId === plan) throw new Broken(`the restore stands still, and nothing says why\n${told(world)}`);
    // The word of the operator was lost with an agent: he sees that nothing happens, and says it again or lets it be.
    if (!world.isThere(planner) || world.random.chance(0.3)) return untouched(world);
    const again = await world.model.run(planner, 'restore', { confirm: plan });
    // Such as a unit that came since, of which the plan knows nothing.
    if (again.status === 'failed' && intentOf(world)?.planId !== plan) return untouched(world);
  }
  throw new Broken(`the restore does not come to an end\n${told(world)}`);
}

async function obey(world: RestoreWorld, message: string): Promise<void> {
  const commands = commandsOf(message).filter(({ params }) => params['confirm'] !== undefined);
  if (commands.length === 0) throw new Broken(`a status names no next step: ${message}`);
  const { unit, action, params } = world.random.pick(commands);
  if (params['without'] !== undefined) {
    for (const lost of params['without'].split(',')) world.truth.plans.get(params['confirm'] ?? '')?.leftOut.add(lost);
  }
  try {
    const result = await world.model.run(unit, action, params);
    if (result.status !== 'completed')
      throw new Broken(`what a status says does not work: ${message}\n  ${result.message}`);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new Broken(`what a status says can't be done: ${message}\n  ${error.message}`);
  }
}

function intentOf({ model }: RestoreWorld): Intent | undefined {
  const text = model.bagOf(app, 'peers')['restore'];
  return text === undefined ? undefined : intentSchema.parse(z.json().parse(JSON.parse(text)));
}

/** All of it, or nothing of it, on every unit that is there. */
function ended(world: RestoreWorld, { planId, kind }: Intent): Outcome {
  const plan = world.truth.plans.get(planId);
  const wanted = kind === 'restore' ? 'new' : 'old';
  for (const unit of [plan?.planner ?? '', ...(plan?.participants ?? [])]) {
    const machine = world.machines.get(unit);
    if (machine === undefined || !world.isThere(unit)) continue;
    const { database, files, fenced } = world.truth.contentsOf(machine);
    const found = unit === plan?.planner ? database : files;
    if (found !== wanted || fenced)
      throw new Broken(`${kind} ended, and ${unit} holds ${found}${fenced ? ', fenced' : ''}\n${told(world)}`);
  }
  for (const { unit, message } of world.statuses())
    if (message.includes(planId) && !message.startsWith('restored by plan'))
      throw new Broken(`${unit} still tells of a restore that has ended: ${message}`);
  return kind === 'restore' ? 'restored' : 'abandoned';
}

function untouched(world: RestoreWorld): Outcome {
  for (const machine of world.machines.values()) {
    const { database, files, fenced } = world.truth.contentsOf(machine);
    if (database !== 'old' || files !== 'old' || fenced)
      throw new Broken(`${machine.unit} was touched by nobody's word`);
  }
  return 'not begun';
}

function told(world: RestoreWorld): string {
  return world
    .statuses()
    .map(({ unit, status, message }) => `  ${unit}: ${status}: ${message}`)
    .join('\n');
}
