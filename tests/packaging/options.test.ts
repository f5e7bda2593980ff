import { load } from 'js-yaml';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { optionNames, options, parseSettings, type OptionName } from '../../src/core/settings.ts';

const root = join(import.meta.dirname, '..', '..');

const configSchema = z.object({
  options: z.record(
    z.string(),
    z.strictObject({
      type: z.enum(['string', 'int', 'boolean']),
      default: z.union([z.string(), z.number(), z.boolean()]),
      description: z.string(),
    }),
  ),
});

const config = configSchema.parse(load(await readFile(join(root, 'config.yaml'), 'utf8'))).options;
/** What the settings file has and the charm does not: a unit knows its clusters by its relation, the repository by its peers, and the model's proxies. */
const charmOptions = optionNames.filter((name) => !/^(clusters|repository|https?-proxy|no-proxy)$/.test(name));

const yamlTypes: Readonly<Record<string, string>> = { string: 'string', number: 'int', boolean: 'boolean' };

/** The rows of the README's table of options: name, default, meaning, without backquotes. */
async function readTable(): Promise<readonly (readonly string[])[]> {
  const text = await readFile(join(root, 'README.md'), 'utf8');
  const [, after = ''] = text.split(/^\| option +\| default.*\n\| -.*\n/m);
  const rows = after
    .slice(0, after.search(/^(?!\|)/m))
    .trim()
    .split('\n');
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replace(/^`(.*)`$/, '$1')),
  );
}

test('the charm has the options of the settings file, in its order, and no other', () => {
  expect(Object.keys(config)).toEqual(charmOptions);
});

test.each(charmOptions)('the option %s has one type and one default', (name) => {
  const value = options[name].default;

  expect(config[name]?.default).toStrictEqual(value);
  expect(config[name]?.type).toBe(yamlTypes[typeof value]);
});

test("the charm's defaults are valid settings", () => {
  const defaults = Object.fromEntries(Object.entries(config).map(([name, { default: value }]) => [name, value]));

  expect(parseSettings(defaults)).toEqual(parseSettings({}));
});

test.each(charmOptions)(
  'the description of %s says the limits of its rule, and why its default is what it is',
  (name) => {
    const { description = '' } = config[name] ?? {};
    const limits = options[name].rule.match(/\b\d+/g) ?? [];

    for (const limit of limits) expect(description).toMatch(new RegExp(`\\b${limit}\\b`));
    expect(description).toMatch(/\bDefault\b.+(because|so that|a week|when)/s);
  },
);

test('the README has every option once, in this order, with this default', async () => {
  const rows = await readTable();
  const shown = (name: OptionName) => {
    const value = options[name].default;
    return value === '' ? 'empty' : typeof value === 'string' ? value : JSON.stringify(value);
  };

  expect(rows.map(([name, fallback]) => [name, fallback])).toEqual(optionNames.map((name) => [name, shown(name)]));
  for (const [name, , meaning] of rows) expect(meaning, name).not.toBe('');
});
