import { describe, expect, test } from 'vitest';
import { parseArguments } from './simulator/charm.ts';
import { Simulator } from './simulator/simulator.ts';
import { idle, on, toy, toyFiles, world, type Toy } from './toy-charm.ts';

const write: Toy = async (_environment, tools) => {
  const [id = ''] = await tools.relationIds('peers');
  await tools.relationSet(id, 'unit', { wrote: 'x' });
  await tools.actionSet({ 'a.b': 'c' });
};

describe('how an action ends', () => {
  test('with 0: completed, with its results and what it wrote', async () => {
    const { sim, model } = await world(
      on('act', async (environment, tools) => {
        await write(environment, tools);
        await tools.actionLog('half way');
        await tools.actionSet({ 'a.d': 'e', label: String((await tools.actionGet())['label']) });
      }),
    );
    await sim.settle();

    expect(await model.run('toy/0', 'act')).toEqual({
      status: 'completed',
      message: '',
      results: { a: { b: 'c', d: 'e' }, label: 'none', 'return-code': 0 },
      log: ['half way'],
      exitCode: 0,
    });
    expect(model.bagOf('toy/0', 'peers')).toHaveProperty('wrote', 'x');
  });

  test('with action-fail and 0: failed with its text, what it wrote stays, and juju run ends with 0', async () => {
    const { sim, model } = await world(
      on('act', async (environment, tools) => {
        await write(environment, tools);
        await tools.actionFail('no room');
      }),
    );
    await sim.settle();

    expect(await model.run('toy/0', 'act')).toMatchObject({ status: 'failed', message: 'no room', exitCode: 0 });
    expect(model.bagOf('toy/0', 'peers')).toHaveProperty('wrote', 'x');
  });

  test('with an exit code: failed, its text and what it wrote are lost, its results are not', async () => {
    const { sim, model } = await world(
      on('act', async (environment, tools) => {
        await write(environment, tools);
        await tools.actionFail('no room');
        return 3;
      }),
    );
    await sim.settle();

    expect(await model.run('toy/0', 'act')).toMatchObject({
      status: 'failed',
      message: 'exit status 3',
      results: { a: { b: 'c' }, 'return-code': 3 },
      exitCode: 1,
    });
    expect(model.bagOf('toy/0', 'peers')).not.toHaveProperty('wrote');
  });

  test('with writes that Juju does not take: failed', async () => {
    const { sim, model } = await world(undefined, { units: 2 });
    await sim.settle();
    const leader = model.leaderOf('toy') ?? '';
    await model.refresh(
      'toy',
      toy(
        on('act', async (_environment, tools) => {
          const [id = ''] = await tools.relationIds('peers');
          await tools.relationSet(id, 'app', { a: 'b' });
          model.moveLeadership('toy');
        }),
      ),
    );
    await sim.settle();

    expect(await model.run(leader, 'act')).toMatchObject({
      status: 'failed',
      message: 'committing requested changes failed',
      exitCode: 1,
    });
  });

  test('cancelled while it runs: aborted, its results kept and its writes dropped', async () => {
    const reached = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const { sim, model } = await world(
      on('act', async (environment, tools) => {
        await write(environment, tools);
        reached.resolve();
        await goOn.promise;
      }),
    );
    await sim.settle();
    const task = model.start('toy/0', 'act');
    await reached.promise;

    model.cancel('toy/0', task);
    goOn.resolve();

    expect(await task.finished).toMatchObject({ status: 'aborted', message: 'terminated', results: { a: { b: 'c' } } });
    expect(model.bagOf('toy/0', 'peers')).not.toHaveProperty('wrote');
  });

  test('with the agent: failed, and not run again', async () => {
    let runs = 0;
    const { sim, model } = await world(
      on('act', async (_environment, tools) => {
        runs += 1;
        model.killAgent('toy/0');
        await tools.isLeader();
      }),
    );
    await sim.settle();

    expect(await model.run('toy/0', 'act')).toMatchObject({ status: 'failed', message: 'action terminated' });
    await sim.settle();
    expect(runs).toBe(1);
  });
});

describe('parameters', () => {
  test('are read as YAML from a command line', () => {
    expect(parseArguments(['label=2026', 'wait=false', 'to=time=2026-11-24', 'empty='])).toEqual({
      label: 2026,
      wait: false,
      to: 'time=2026-11-24',
      empty: '',
    });
    expect(() => parseArguments(['Label=x'])).toThrow('must be of the form');
  });

  test.each([
    ['of another type', 'act', { label: 2026 }, 'must be of type string'],
    ['that the schema does not know', 'act', { other: 'x' }, 'additional property "other" is not allowed'],
  ])('%s are refused, and nothing runs', async (_what, action, parameters, said) => {
    const { sim, model } = await world();
    await sim.settle();

    await expect(model.run('toy/0', action, parameters)).rejects.toThrow(said);
    expect(model.hooksOf('toy/0')).not.toContain(action);
  });

  test.each([
    ['2.9.49', true],
    ['3.6.27', true],
    ['4.0.15', false],
  ])('additionalProperties left out means on %s: allowed %s', async (version, allowed) => {
    const { sim, model } = await world(undefined, { version });
    await sim.settle();
    const running = model.run('toy/0', 'open', { other: 'x' });

    if (allowed) expect(await running).toMatchObject({ status: 'completed' });
    else await expect(running).rejects.toThrow('additional property "other" is not allowed');
  });
});

describe('when an action runs', () => {
  test('before hooks that wait, once install has run', async () => {
    const { sim, model } = await world();
    while (!model.unitsOf('toy').includes('toy/0')) await sim.step();

    expect((await model.run('toy/0', 'act')).status).toBe('completed');

    const hooks = model.hooksOf('toy/0');
    expect(hooks[0]).toBe('install');
    expect(hooks.at(-1)).toBe('act');
    expect(hooks).not.toContain('config-changed');
  });

  test('also on a unit whose hook has failed', async () => {
    const { sim, model } = await world(on('config-changed', async () => 1));
    await sim.settle();

    expect((await model.run('toy/0', 'act')).status).toBe('completed');
    expect(model.statusOf('toy/0').agent).toBe('error');
  });
});

describe('what an action holds up', () => {
  /** Starts an action that waits, and tells which hooks run meanwhile on its unit and on its principal. */
  async function hooksBeside(action: string, version: string): Promise<readonly string[]> {
    const reached = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const sim = new Simulator({ version });
    const model = sim.addModel('production');
    model.deployPrincipal('postgresql', { charm: idle('postgresql') });
    const waits = on(action, async () => {
      reached.resolve();
      await goOn.promise;
    });
    await model.deploySubordinate('toy', toy(waits, toyFiles));
    model.integrate('toy:postgresql', 'postgresql');
    await sim.settle();
    const before = [model.hooksOf('toy/0').length, model.hooksOf('postgresql/0').length];
    const task = model.start('toy/0', action);
    await reached.promise;

    model.updateStatus();
    await sim.settle({ wait: false });
    const meanwhile = [
      ...model.hooksOf('toy/0').slice(before[0]),
      ...model
        .hooksOf('postgresql/0')
        .slice(before[1])
        .map((name) => `principal's ${name}`),
    ];

    goOn.resolve();
    await task.finished;
    await sim.settle();
    expect(model.hooksOf('toy/0').slice(before[0])).toEqual([action, 'update-status']);
    expect(model.hooksOf('postgresql/0').slice(before[1])).toEqual(['update-status']);
    return meanwhile;
  }

  test.each([
    ['3.6.27', 'act', []],
    ['3.6.27', 'grouped', ["principal's update-status"]],
    ['3.6.27', 'parallel', ["principal's update-status"]],
    ['2.9.49', 'grouped', []],
    ['2.9.49', 'parallel', []],
  ])('on %s, while %s runs, others run %j', async (version, action, expected) => {
    expect(await hooksBeside(action, version)).toEqual(expected);
  });
});
