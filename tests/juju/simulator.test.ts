import { describe, expect, test } from 'vitest';
import { field } from '../../src/juju/databag.ts';
import type { JujuEnvironment } from '../../src/juju/environment.ts';
import type { HookTools } from '../../src/juju/hook-tools.ts';
import { z } from 'zod';
import { containing } from '../setup/containing.ts';
import { until } from '../setup/wait.ts';
import { on, toy, world, type Toy } from './toy-charm.ts';

describe('hooks', () => {
  test('come in the order that the agent has, from install on', async () => {
    const { sim, model } = await world();

    await sim.settle();

    expect(model.unitsOf('toy')).toEqual(['toy/0']);
    const hooks = model.hooksOf('toy/0');
    expect(hooks[0]).toBe('install');
    expect(hooks.slice(1, 3).sort()).toEqual(['peers-relation-created', 'postgresql-relation-created']);
    expect(hooks.slice(3)).toEqual([
      'leader-elected',
      'config-changed',
      'start',
      'postgresql-relation-joined',
      'postgresql-relation-changed',
    ]);
  });

  test('say in their environment what Juju says', async () => {
    const events: JujuEnvironment['event'][] = [];
    const { sim, model } = await world(async (environment) => {
      events.push(environment.event);
      expect(environment).toMatchObject({
        unit: 'toy/0',
        principal: 'postgresql/0',
        machineId: '0',
        version: '3.6.27',
      });
    });

    await sim.settle();

    expect(model.hooksOf('toy/0').length).toBe(events.length);
    const relation = {
      endpoint: 'postgresql',
      id: 'postgresql:1',
      remoteApplication: 'postgresql',
      departing: undefined,
    };
    expect(events).toContainEqual({
      kind: 'hook',
      name: 'postgresql-relation-created',
      relation: { ...relation, remoteUnit: undefined },
    });
    expect(events).toContainEqual({
      kind: 'hook',
      name: 'postgresql-relation-joined',
      relation: { ...relation, remoteUnit: 'postgresql/0' },
    });
  });

  test('tell of changed options once, and of none that are as they were', async () => {
    const { sim, model } = await world();
    await sim.settle();
    const before = model.hooksOf('toy/0').length;

    model.config('toy', { count: 8, text: 'x' });
    model.config('toy', { count: 8 });
    await sim.settle();

    expect(model.hooksOf('toy/0').slice(before)).toEqual(['config-changed']);
  });

  test('a refresh runs upgrade-charm and config-changed', async () => {
    const { sim, model } = await world();
    await sim.settle();
    const before = model.hooksOf('toy/0').length;

    await model.refresh('toy', toy());
    await sim.settle();

    expect(model.hooksOf('toy/0').slice(before)).toEqual(['upgrade-charm', 'config-changed']);
  });

  test('update-status comes only when nothing else is there', async () => {
    const { sim, model } = await world();
    await sim.settle();
    model.updateStatus();
    await sim.settle();
    expect(model.hooksOf('toy/0').at(-1)).toBe('update-status');

    const before = model.hooksOf('toy/0').length;
    model.updateStatus();
    model.config('toy', { count: 9 });
    await sim.settle();
    expect(model.hooksOf('toy/0').slice(before)).toEqual(['config-changed', 'update-status']);
  });

  test('an agent that comes back tells of the options once more', async () => {
    const { sim, model } = await world();
    await sim.settle();
    const before = model.hooksOf('toy/0').length;

    model.killAgent('toy/0');
    await sim.settle();

    expect(model.hooksOf('toy/0').slice(before)).toEqual(['config-changed']);
  });

  test('run by themselves while agents are kept running', async () => {
    const { sim, model } = await world();
    const stop = sim.keepRunning(5);

    await until('the unit has started', async () => model.unitsOf('toy').length > 0 && model.unit('toy/0').started);
    await stop();
    model.config('toy', { count: 1 });
    await new Promise((resolve) => setTimeout(resolve, 30));

    expect(model.unit('toy/0').configSeen).not.toBe(model.unit('toy/0').application.configVersion);
  });

  test('a unit that sets no status is unknown after start', async () => {
    const { sim, model } = await world();
    await sim.settle();

    expect(model.statusOf('toy/0')).toEqual({ status: 'unknown', message: '', agent: 'idle', version: '' });
  });
});

describe('what a hook writes', () => {
  const writes: Toy = async (_environment, tools) => {
    const [id = ''] = await tools.relationIds('peers');
    await tools.relationSet(id, 'unit', { mine: 'x' });
    expect(await tools.relationGet(id, 'unit', 'toy/0')).toMatchObject({ mine: 'x' });
    await tools.statusSet('active', 'written');
  };

  test('is there when it has ended well', async () => {
    const { sim, model } = await world(on('config-changed', writes));
    await sim.settle();

    expect(model.bagOf('toy/0', 'peers')).toMatchObject({ mine: 'x', 'ingress-address': '10.0.0.10' });
  });

  test('is dropped when it fails, save the status; the hook is tried again and nothing else runs', async () => {
    let fails = true;
    const { sim, model } = await world(
      on('config-changed', async (environment, tools) => {
        await writes(environment, tools);
        return fails ? 1 : 0;
      }),
    );
    await sim.settle();

    expect(model.bagOf('toy/0', 'peers')).not.toHaveProperty('mine');
    expect(model.unit('toy/0').workload).toEqual({ status: 'active', message: 'written' });
    expect(model.statusOf('toy/0')).toMatchObject({ status: 'error', message: 'hook failed: "config-changed"' });
    expect(model.unit('toy/0').history.filter(({ end }) => end === 'failed')).toHaveLength(3);
    expect(model.hooksOf('toy/0')).not.toContain('start');

    fails = false;
    await sim.settle();
    expect(model.statusOf('toy/0').status).toBe('active');
    expect(model.bagOf('toy/0', 'peers')).toMatchObject({ mine: 'x' });
  });

  test('juju resolve tries the hook that failed once more', async () => {
    const { sim, model } = await world(on('start', async () => 1));
    await sim.settle();
    const before = model.unit('toy/0').history.length;
    expect(await sim.step(3)).toBe(false);

    model.resolve('toy/0');
    await sim.step(3);

    expect(model.unit('toy/0').history.slice(before)).toMatchObject([{ name: 'start', end: 'failed' }]);
  });

  test('an error that nobody caught is a failed hook, with its text in the log', async () => {
    const { sim, model } = await world(
      on('install', async () => {
        throw new Error('no disk');
      }),
    );
    await sim.settle();

    expect(model.statusOf('toy/0').agent).toBe('error');
    expect(model.logOf('toy/0')).toContainEqual({ level: 'WARNING', text: containing('no disk') });
  });

  test('the tools answer nobody after the hook', async () => {
    let kept: HookTools | undefined;
    const { sim } = await world(async (_environment, tools) => {
      kept = tools;
    });
    await sim.settle();

    await expect(kept?.configGet()).rejects.toThrow('after its hook had ended');
  });
});

describe('peers', () => {
  const note = field('note', z.string());

  test('hear of what others wrote, once for many writes, and never of their own', async () => {
    const heard: string[] = [];
    const { sim, model } = await world(
      async ({ unit, event }, tools) => {
        if (event.kind === 'hook' && event.name === 'peers-relation-changed') {
          heard.push(`${unit} hears ${event.relation?.remoteUnit ?? 'the application'}`);
        }
        if (event.name !== 'update-status') return;
        const [id = ''] = await tools.relationIds('peers');
        const { note: before = '0' } = await tools.relationGet(id, 'unit', unit);
        await tools.relationSet(id, 'unit', { note: `${Number(before) + 1}` });
      },
      { units: 2 },
    );
    await sim.settle();
    expect([...heard].sort()).toEqual(['toy/0 hears toy/1', 'toy/1 hears toy/0']);
    heard.length = 0;

    model.updateStatus('toy/0');
    await sim.settle();
    expect(heard).toEqual(['toy/1 hears toy/0']);
    expect(model.bagOf('toy/0', 'peers')).toMatchObject({ note: '1' });
  });

  test('have changed right behind joined, whoever else comes', async () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const { sim, model } = await world(undefined, { units: 4, seed });
      await sim.settle();
      for (const name of model.unitsOf('toy')) {
        const lines = model.unit(name).history.filter((line) => line.name.startsWith('peers-relation-'));
        for (const [at, line] of lines.entries()) {
          if (!line.name.endsWith('-joined')) continue;
          expect(lines[at + 1]).toMatchObject({ name: 'peers-relation-changed', remote: line.remote });
        }
      }
    }
  });

  test('read what the leader wrote for the application; the leader does not hear itself', async () => {
    const read: string[] = [];
    const { sim, model } = await world(
      async ({ unit, event }, tools) => {
        const [id = ''] = await tools.relationIds('peers');
        if (event.name === 'update-status' && (await tools.isLeader())) {
          await tools.relationSet(id, 'app', note.write('pinned'));
        }
        if (event.kind === 'hook' && event.relation?.endpoint === 'peers' && event.relation.remoteUnit === undefined) {
          if (event.name === 'peers-relation-changed') read.push(unit);
        }
      },
      { units: 3 },
    );
    await sim.settle();
    const leader = model.leaderOf('toy') ?? '';

    model.updateStatus();
    await sim.settle();

    expect(note.value(model.bagOf('toy', 'peers'))).toBe('pinned');
    expect([...read].sort()).toEqual(['toy/0', 'toy/1', 'toy/2'].filter((unit) => unit !== leader));
  });

  test('everybody reads what the leader says to its peers, and nobody but the leader writes it', async () => {
    const said: string[] = [];
    const { sim, model } = await world(
      on('update-status', async (_environment, tools) => {
        const [id = ''] = await tools.relationIds('peers');
        said.push(JSON.stringify(await tools.relationGet(id, 'app', 'toy')));
        await tools.relationSet(id, 'app', { a: 'b' }).catch((error: unknown) => said.push(String(error)));
      }),
      { units: 2 },
    );
    await sim.settle();
    const follower = model.unitsOf('toy').find((unit) => unit !== model.leaderOf('toy'));

    model.updateStatus(follower);
    await sim.settle();

    expect(said).toEqual(['{}', containing('cannot write relation settings')]);
  });
});

describe('leadership', () => {
  test('moves: the new leader hears of it, the old one does not', async () => {
    const { sim, model } = await world(undefined, { units: 2 });
    await sim.settle();
    const old = model.leaderOf('toy') ?? '';
    const next = model.unitsOf('toy').find((unit) => unit !== old) ?? '';

    model.moveLeadership('toy', next);
    await sim.settle();

    expect(model.leaderOf('toy')).toBe(next);
    expect(model.hooksOf(next).at(-1)).toBe('leader-elected');
    expect(model.hooksOf(old).filter((name) => name === 'leader-elected')).toHaveLength(1);
  });

  test('lost within a hook that wrote for the application: the hook fails and runs again', async () => {
    let lose: (() => void) | undefined;
    const { sim, model } = await world(
      on('config-changed', async (_environment, tools) => {
        const [id = ''] = await tools.relationIds('peers');
        if (!(await tools.isLeader())) return;
        await tools.relationSet(id, 'app', { a: 'b' });
        lose?.();
        lose = undefined;
      }),
      { units: 2 },
    );
    await sim.settle();
    const leader = model.leaderOf('toy') ?? '';
    lose = () => {
      model.moveLeadership('toy');
    };
    model.config('toy', { count: 1 });
    while (lose !== undefined) await sim.step();
    await sim.settle();

    const ends = model.unit(leader).history.filter(({ name }) => name === 'config-changed');
    expect(ends.map(({ end }) => end)).toContain('failed');
  });

  test('a unit that dies leads no more', async () => {
    const { sim, model } = await world(undefined, { units: 2 });
    await sim.settle();
    const old = model.unit(model.leaderOf('toy') ?? '');

    model.removeUnit(old.principal?.name ?? '');
    await sim.settle();

    expect(model.leaderOf('toy')).not.toBe(old.name);
    expect(model.unitsOf('toy')).toHaveLength(1);
  });
});
