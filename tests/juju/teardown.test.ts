import { describe, expect, test } from 'vitest';
import { Simulator } from './simulator/simulator.ts';
import { idle, on, toy, world, type Toy } from './toy-charm.ts';

/** Keeps what units say on their way out, as "<unit> <hook> <departing>". */
function listener(): { readonly said: string[]; readonly does: Toy } {
  const said: string[] = [];
  return {
    said,
    does: async ({ unit, event }) => {
      const departing = event.kind === 'hook' ? event.relation?.departing : undefined;
      said.push(`${unit} ${event.name}${departing === undefined ? '' : ` ${departing}`}`);
    },
  };
}

describe('a unit goes', () => {
  test.each<[string, (model: Awaited<ReturnType<typeof world>>['model']) => void]>([
    ['when its relation to the principal is removed', (model) => model.removeRelation('toy', 'postgresql')],
    ['when its principal is removed', (model) => model.removeUnit('postgresql/0')],
    ['when the application is removed', (model) => model.removeApplication('toy')],
    ["when the principal's application is removed", (model) => model.removeApplication('postgresql')],
  ])('%s: relations break, then stop, then remove', async (_when, removes) => {
    const { said, does } = listener();
    const { sim, model } = await world(does);
    await sim.settle();
    said.length = 0;

    removes(model);
    await sim.settle();

    expect(said).toEqual([
      'toy/0 postgresql-relation-departed toy/0',
      'toy/0 postgresql-relation-broken',
      'toy/0 stop',
      'toy/0 remove',
    ]);
    expect(model.unitsOf('toy')).toEqual([]);
  });

  test('its peers hear of it when it is gone, by its own name', async () => {
    const { said, does } = listener();
    const { sim, model } = await world(does, { units: 2 });
    await sim.settle();
    const gone = model.unitsOf('toy').find((name) => model.unit(name).principal?.name === 'postgresql/1') ?? '';
    const stays = gone === 'toy/0' ? 'toy/1' : 'toy/0';
    said.length = 0;

    model.removeUnit('postgresql/1');
    await sim.settle();

    expect(said).toContain(`${gone} peers-relation-departed ${gone}`);
    expect(said.indexOf(`${stays} peers-relation-departed ${gone}`)).toBeGreaterThan(said.indexOf(`${gone} remove`));
    expect(said).not.toContain(`${gone} peers-relation-broken`);
    expect(model.unitsOf('postgresql')).toEqual(['postgresql/0']);
  });

  test('that never ran goes without a hook', async () => {
    const { said, does } = listener();
    const { sim, model } = await world(does);
    while (model.unitsOf('toy').length === 0) await sim.step();

    model.removeApplication('toy');
    await sim.settle();

    expect(said).toEqual([]);
    expect(model.has('toy')).toBe(false);
  });
});

test('within -broken the relation is in no list any more', async () => {
  let ids: readonly string[] | undefined;
  const { sim, model } = await world(
    on('postgresql-relation-broken', async (_environment, tools) => {
      ids = await tools.relationIds('postgresql');
    }),
  );
  await sim.settle();

  model.removeRelation('toy', 'postgresql');
  await sim.settle();

  expect(ids).toEqual([]);
});

test('a unit in error holds its principal, which has run its own hooks, until it is well', async () => {
  let fails = true;
  const { sim, model } = await world(on('stop', async () => (fails ? 1 : 0)));
  await sim.settle();

  model.removeApplication('postgresql');
  await sim.settle();
  expect(model.hooksOf('postgresql/0').slice(-2)).toEqual(['stop', 'remove']);
  expect(model.statusOf('toy/0').message).toBe('hook failed: "stop"');

  fails = false;
  await sim.settle();
  expect([model.has('postgresql'), model.unitsOf('toy')]).toEqual([false, []]);
});

describe('one application on two principals', () => {
  test('each unit sees the relation to its own principal only, and its peer', async () => {
    const seen: Record<string, readonly string[]> = {};
    const sim = new Simulator();
    const model = sim.addModel('production');
    model.deployPrincipal('postgresql', { charm: idle('postgresql') });
    model.deployPrincipal('landscape-server', { charm: idle('landscape-server'), to: '0' });
    await model.deploySubordinate(
      'toy',
      toy(
        on('update-status', async ({ principal = '', machineId }, tools) => {
          const all = await Promise.all(['postgresql', 'landscape', 'peers'].map(tools.relationIds));
          const [id = ''] = all.flat();
          seen[`${principal} on ${machineId}`] = [...all.flat(), ...(await tools.relationUnits(id))];
        }),
      ),
    );
    model.integrate('toy:postgresql', 'postgresql');
    model.integrate('toy:landscape', 'landscape-server');
    await sim.settle();
    model.updateStatus();
    await sim.settle();

    expect(seen).toEqual({
      'postgresql/0 on 0': ['postgresql:1', 'peers:0', 'postgresql/0'],
      'landscape-server/0 on 0': ['landscape:2', 'peers:0', 'landscape-server/0'],
    });
  });

  test('a unit stays while another relation with its principal holds it', async () => {
    const { sim, model } = await world();
    model.integrate('toy:landscape', 'postgresql');
    await sim.settle();
    expect(model.unitsOf('toy')).toEqual(['toy/0']);

    model.removeRelation('toy:landscape', 'postgresql');
    await sim.settle();
    expect(model.hooksOf('toy/0').slice(-2)).toEqual(['landscape-relation-departed', 'landscape-relation-broken']);
    expect(model.unitsOf('toy')).toEqual(['toy/0']);
  });

  test('numbers are never used again', async () => {
    const { sim, model } = await world();
    await sim.settle();

    model.removeRelation('toy', 'postgresql');
    await sim.settle();
    model.integrate('toy:postgresql', 'postgresql');
    await sim.settle();

    expect(model.unitsOf('toy')).toEqual(['toy/1']);
  });
});
