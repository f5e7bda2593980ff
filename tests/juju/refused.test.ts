import { describe, expect, test } from 'vitest';
import { parseCharm, type CharmFiles } from './simulator/charm.ts';
import type { Model } from './simulator/model.ts';
import { behaviourOf } from './simulator/versions.ts';
import { idle, toy, toyFiles, world } from './toy-charm.ts';

describe('what an administrator cannot do', () => {
  test.each<[string, (model: Model) => unknown, string]>([
    ['integrate what could be two endpoints', (model) => model.integrate('toy', 'postgresql'), 'ambiguous relation'],
    ['integrate twice', (model) => model.integrate('toy:postgresql', 'postgresql'), 'already exists'],
    ['integrate with nobody', (model) => model.integrate('toy:postgresql', 'mysql'), 'application "mysql" not found'],
    ['integrate an endpoint that is none', (model) => model.integrate('toy:db', 'postgresql'), 'no relations found'],
    ['add a unit to a subordinate', (model) => model.addUnit('toy'), 'cannot add unit to subordinate'],
    ['remove a subordinate unit', (model) => model.removeUnit('toy/0'), 'is a subordinate'],
    ['set an option that is none', (model) => model.config('toy', { colour: 'red' }), 'unknown option "colour"'],
    ['set an option to another type', (model) => model.config('toy', { count: 'x' }), 'expected int'],
    ['run an action that is none', async (model) => await model.run('toy/0', 'nap'), 'not defined on unit "toy/0"'],
    ['make a unit of another application lead', (model) => model.moveLeadership('toy', 'postgresql/0'), 'cannot lead'],
    ['deploy a name twice', (model) => model.deployPrincipal('toy', { charm: idle('toy') }), 'already exists'],
    ['resolve what is well', (model) => model.resolve('toy/0'), 'not in an error state'],
    [
      'deploy a principal as subordinate',
      async (model) => await model.deploySubordinate('x', toy(undefined, plain)),
      'no sub',
    ],
    [
      'refresh away an endpoint in use',
      async (model) => await model.refresh('toy', toy(undefined, less)),
      'would break relation',
    ],
  ])('%s', async (_what, does, said) => {
    const { sim, model } = await world();
    await sim.settle();

    await expect((async () => await does(model))()).rejects.toThrow(said);
  });

  test('integrate principals and subordinates of different bases', async () => {
    const { model } = await world();
    model.deployPrincipal('old', { charm: idle('old'), base: 'ubuntu@22.04' });

    expect(() => model.integrate('toy:landscape', 'old')).toThrow('bases must match');
  });
});

const described = { name: 'c', summary: 's', description: 'd' };
const plain: CharmFiles = { metadata: described };
const less: CharmFiles = {
  ...toyFiles,
  metadata: {
    ...described,
    subordinate: true,
    requires: { landscape: { interface: 'juju-info', scope: 'container' } },
  },
};
const sub = { ...described, subordinate: true };

describe('charms that Juju refuses', () => {
  test.each<[string, CharmFiles, string, string]>([
    ['no summary', { metadata: { name: 'c', description: 'd' } }, '3.6.27', 'summary'],
    [
      'a subordinate without a container',
      { metadata: sub },
      '3.6.27',
      'lacks "requires" relation with container scope',
    ],
    [
      'a reserved endpoint',
      { metadata: { ...described, provides: { 'juju-x': 'y' } } },
      '3.6.27',
      'reserved relation name',
    ],
    [
      'an endpoint twice',
      { metadata: { ...described, provides: { a: 'y' }, requires: { a: 'z' } } },
      '3.6.27',
      'duplicated relation name',
    ],
    ['a newer Juju', { metadata: { ...described, assumes: ['juju >= 3.6'] } }, '2.9.49', 'cannot be deployed'],
    ['an older Juju', { metadata: { ...described, assumes: ['juju < 4'] } }, '4.0.15', 'cannot be deployed'],
    [
      'a secret option on 2.9',
      { metadata: described, config: { options: { a: { type: 'secret' } } } },
      '2.9.49',
      'secret',
    ],
    [
      'a default of another type',
      { metadata: described, config: { options: { a: { type: 'int', default: 'x' } } } },
      '3.6.27',
      'int',
    ],
    ['a bad name of an action', { metadata: described, actions: { do_it: {} } }, '3.6.27', 'bad action name'],
    [
      'a reference in an action',
      { metadata: described, actions: { a: { params: { b: { $ref: 'x' } } } } },
      '3.6.27',
      '$ref',
    ],
    [
      'a parameter that no command line can give',
      { metadata: described, actions: { a: { params: { b_c: { type: 'string' } } } } },
      '3.6.27',
      'no command line',
    ],
  ])('%s', (_what, files, version, said) => {
    expect(() => parseCharm(files, behaviourOf(version))).toThrow(said);
  });

  test.each(['2.9.49', '3.6.27', '4.0.15'])('a range of versions admits %s', (version) => {
    const assumes = [{ 'any-of': ['juju >= 3.6', { 'all-of': ['juju >= 2.9.49', 'juju < 3'] }] }];

    expect(parseCharm({ metadata: { ...described, assumes } }, behaviourOf(version)).name).toBe('c');
  });
});
