import { expect, test } from 'vitest';
import { idle, toy, world, type Toy } from './toy-charm.ts';
import { Simulator } from './simulator/simulator.ts';
import type { HistoryLine } from './simulator/state.ts';

/** Each unit counts its hooks in its bag; the leader publishes the greatest count of all. */
const counts: Toy = async ({ unit, application, event }, tools) => {
  if (event.name.endsWith('-relation-broken') || event.name === 'stop' || event.name === 'remove') return;
  const [id] = await tools.relationIds('peers');
  if (id === undefined) return;
  const { count = '0' } = await tools.relationGet(id, 'unit', unit);
  const own = event.name === 'update-status' ? Number(count) + 1 : Number(count);
  await tools.relationSet(id, 'unit', { count: String(own) });
  if (!(await tools.isLeader())) return;
  const others = await Promise.all(
    (await tools.relationUnits(id)).map(async (other) => await tools.relationGet(id, 'unit', other)),
  );
  const { greatest = '0' } = await tools.relationGet(id, 'app', application);
  const all = [own, Number(greatest), ...others.map((bag) => Number(bag['count'] ?? '0'))];
  await tools.relationSet(id, 'app', { greatest: String(Math.max(...all)) });
};

/** A life of three units with crashes, leaders that change, and a unit that goes. */
async function story(seed: number, concurrency: number): Promise<{ sim: Simulator; histories: HistoryLine[][] }> {
  const sim = new Simulator({
    seed,
    concurrency,
    crash: (_unit, _operation, random) =>
      random.chance(0.1) ? random.pick([1, 2, 5, 'before-commit', 'after-commit'] as const) : undefined,
  });
  const model = sim.addModel('production');
  model.deployPrincipal('postgresql', { charm: idle('postgresql'), units: 2 });
  model.deployPrincipal('landscape-server', { charm: idle('landscape-server') });
  await model.deploySubordinate('toy', toy(counts));
  model.integrate('toy:postgresql', 'postgresql');
  model.integrate('toy:landscape', 'landscape-server');
  for (let turn = 0; turn < 10; turn += 1) {
    for (let steps = sim.random.below(20); steps > 0; steps -= 1) await sim.step();
    model.updateStatus();
    if (sim.random.chance(0.3)) model.moveLeadership('toy');
  }
  await sim.settle();
  const histories = [...model.state.units.values()].map(({ history }) => history);
  const greatest = Math.max(...model.unitsOf('toy').map((unit) => Number(model.bagOf(unit, 'peers')['count'])));
  expect(Number(model.bagOf('toy', 'peers')['greatest']), `seed ${seed}`).toBe(greatest);
  model.removeApplication('toy');
  await sim.settle();
  expect(model.has('toy'), `seed ${seed}`).toBe(false);
  return { sim, histories };
}

test('the same seed gives the same story, another one another', async () => {
  const one = await story(7, 2);

  expect((await story(7, 2)).histories).toEqual(one.histories);
  expect((await story(8, 2)).histories).not.toEqual(one.histories);
});

test.each([1, 3])('in any order, with crashes, %d at once: what converges converges', async (concurrency) => {
  let hooks = 0;
  let crashes = 0;
  for (let seed = 0; seed < 200; seed += 1) {
    const { histories } = await story(seed, concurrency);
    hooks += histories.flat().length;
    crashes += histories.flat().filter(({ end }) => end === 'crashed').length;
  }

  expect(hooks).toBeGreaterThan(10_000);
  expect(crashes).toBeGreaterThan(500);
});

test('units on different machines really run at the same time, on one machine never', async () => {
  let running = 0;
  let most = 0;
  const overlap: Toy = async (_environment, tools) => {
    running += 1;
    most = Math.max(most, running);
    await tools.configGet();
    await tools.isLeader();
    running -= 1;
  };
  const { sim } = await world(overlap, { units: 3, concurrency: 3 });
  await sim.settle();
  expect(most).toBeGreaterThan(1);

  most = 0;
  const alone = new Simulator({ concurrency: 3 });
  const model = alone.addModel('one');
  model.deployPrincipal('a', { charm: idle('a') });
  model.deployPrincipal('b', { charm: idle('b'), to: '0' });
  await model.deploySubordinate('toy', toy(overlap));
  model.integrate('toy:postgresql', 'a');
  model.integrate('toy:landscape', 'b');
  await alone.settle();
  expect(model.unitsOf('toy')).toHaveLength(2);
  expect(most).toBe(1);
});

test('a crash drops what was written, and the hook runs again', async () => {
  let runs = 0;
  const { sim, model } = await world(
    async (_environment, tools) => {
      const [id = ''] = await tools.relationIds('peers');
      if (id === '') return;
      runs += 1;
      await tools.relationSet(id, 'unit', { run: String(runs) });
      await tools.isLeader();
    },
    {
      crash: (unit, operation) =>
        operation.name === 'start' && unit.history.at(-1)?.end !== 'crashed' ? 3 : undefined,
    },
  );
  await sim.settle();

  const ends = model
    .unit('toy/0')
    .history.filter(({ name }) => name === 'start')
    .map(({ end }) => end);
  expect(ends).toEqual(['crashed', 'done']);
});

test('wakes run a hook of a name of our own', async () => {
  const { sim, model } = await world();
  await sim.settle();

  model.wake('toy/0', 'job-ended');
  await sim.settle();

  expect(model.hooksOf('toy/0').at(-1)).toBe('job-ended');
});
