import { load } from 'js-yaml';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { Params } from '../../src/actions/action.ts';
import { actions } from '../../src/actions/actions.ts';
import type { Role } from '../../src/core/site.ts';
import { DoubleMachine } from '../hooks/double-machine.ts';
import { snapshotOf, tools } from './action-call.ts';

const text = await readFile(join(import.meta.dirname, '..', '..', 'actions.yaml'), 'utf8');
const declared = z
  .record(z.string(), z.object({ params: z.record(z.string(), z.object({ type: z.string() })) }))
  .parse(load(text));

test('the actions of the program are those of actions.yaml, in its order', () => {
  expect(actions.map(({ name }) => name)).toEqual(Object.keys(declared));
});

test.each(actions)('$name reads the parameters that actions.yaml declares, and no others', async (action) => {
  const read = new Set<string>();
  const values: Params = { name: 'point', wait: 0 };
  // With and without confirm an action goes different ways; so it does by what is beside its unit.
  for (const more of [{}, { confirm: 'abcdef0123456789' }, { 'files-only': true }] satisfies Params[]) {
    for (const roles of [['postgresql'], ['landscape'], ['postgresql', 'landscape']] satisfies Role[][]) {
      const params = new Proxy({ ...values, ...more } satisfies Params, {
        get: (target, name) => {
          if (typeof name === 'string') read.add(name);
          return Reflect.get(target, name) as unknown;
        },
        ownKeys: () => {
          throw new Error('an action reads its parameters one by one');
        },
      });
      const machine = new DoubleMachine('landscape-backup/0', {});
      const call = { tools, machine: machine.toUnitMachine(), snapshot: snapshotOf(roles), params };
      await action.run(call).catch(() => undefined);
    }
  }
  // The way in which the result is told is read for all actions in one place.
  const wanted = Object.keys(declared[action.name]?.params ?? {}).filter((name) => name !== 'format');
  // Whoever follows a job asks how long; an action that may not be told so takes the default.
  if (!wanted.includes('wait')) read.delete('wait');
  expect([...read].sort()).toEqual(wanted.sort());
});
