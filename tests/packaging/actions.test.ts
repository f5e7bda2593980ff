import fc from 'fast-check';
import { load } from 'js-yaml';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { verbs } from '../../src/commands/verbs.ts';
import { restorePointNameFault } from '../../src/core/restore-point-name.ts';
import { actionsSchema } from './actions-schema.ts';

const text = await readFile(join(import.meta.dirname, '..', '..', 'actions.yaml'), 'utf8');
const actions = Object.entries(actionsSchema.parse(load(text))).map(([name, action]) => ({ name, ...action }));

/** What only the command line has. */
const commandOnly: Readonly<Record<string, readonly string[]>> = {
  // The action checks by itself. The same confirm goes on; who has no Juju gives his word; a map of paths is typed on the machine that has them.
  // Its identity is a secret of Juju's, too.
  restore: ['continue', 'other-units-stopped', 'tablespace-map', 'check', 'identity-file'],
  check: ['identity-file'],
  rewrap: ['identity-file'],
  // The action looks itself where something is to be undone.
  'abandon-restore': ['if-begun', 'check'],
};

describe.each(actions)('the action $name', ({ name, params, required }) => {
  const verb = verbs.find((each) => each.name === name);

  test('is a verb of the command', () => {
    expect(verb).toBeDefined();
  });

  test("has the verb's options, of the same kind, with the same choices and defaults", () => {
    const options = (verb?.options ?? []).map((option) => ({ option, word: option.long?.slice('--'.length) ?? '' }));
    for (const { option, word } of options.filter(({ word: each }) => !commandOnly[name]?.includes(each))) {
      const param = params[word];
      const kind = option.isBoolean() ? 'boolean' : option.flags.endsWith('<number>') ? 'integer' : 'string';

      expect(param?.type, word).toBe(kind);
      expect(param?.enum, word).toEqual(option.argChoices);
      // A map that is empty is an option that was not given.
      const fallback: unknown = typeof option.defaultValue === 'object' ? undefined : option.defaultValue;
      expect(param?.default, word).toBe(option.isBoolean() ? false : fallback);
      // The command line takes whole numbers from 1 on.
      if (kind === 'integer') expect(param?.minimum, word).toBe(1);
    }
  });

  test("has the verb's arguments, and requires them", () => {
    const words = (verb?.arguments ?? []).map((argument) => argument.name);

    expect(required).toEqual(words);
    expect(Object.keys(params)).toEqual(expect.arrayContaining(words));
  });

  test('tells its result as text or as JSON', () => {
    expect(params['format']).toMatchObject({ type: 'string', enum: ['text', 'json'], default: 'text' });
  });

  test('follows its job for at most 50 seconds, if it follows', () => {
    const { wait } = params;
    if (wait !== undefined) expect(wait).toMatchObject({ type: 'integer', minimum: 0, maximum: 50, default: 50 });
  });
});

test('restore follows nothing: its own words are committed only when it ends', () => {
  expect(actions.find(({ name }) => name === 'restore')?.params['wait']).toBeUndefined();
});

test("what Juju takes for a restore point's name is what PostgreSQL can keep", () => {
  const { pattern = '', maxLength = 0 } =
    actions.find(({ name }) => name === 'create-restore-point')?.params['name'] ?? {};
  const accepted = (name: string) => new RegExp(pattern).test(name) && name.length <= maxLength;
  const letters = fc.constantFrom('a', 'Z', '0', '9', '.', '_', '-', 'é', ' ', '\n');

  fc.assert(
    fc.property(fc.string({ unit: letters, maxLength: 70 }), (name) => {
      expect(accepted(name)).toBe(restorePointNameFault(name) === undefined);
    }),
  );
});
