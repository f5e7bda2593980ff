import { describe, expect, test } from 'vitest';
import { HookContext } from './simulator/context.ts';
import { hookVariables } from './simulator/hook-variables.ts';
import { runTool } from './simulator/tool-programs.ts';
import { world } from './toy-charm.ts';

const get = (unit: HookContext['unit'], ...args: readonly string[]) => {
  const { exitCode, stdout, stderr } = runTool(new HookContext('x', unit, { kind: 'command' }), 'secret-get', args);
  return exitCode === 0 ? stdout : stderr;
};

describe('a secret of the user', () => {
  test('is read by whom it was granted to, in the revision of the first read until that is moved', async () => {
    const { sim, model } = await world();
    await sim.settle();
    const unit = model.unit('toy/0');
    const uri = model.addSecret('key', { 'access-key': 'one' });

    expect(get(unit, uri)).toBe('ERROR permission denied\n');
    model.grantSecret(uri, 'toy');
    expect(get(unit, uri, '--format', 'json')).toBe('{"access-key":"one"}\n');
    model.updateSecret(uri, { 'access-key': 'two' });
    expect(get(unit, uri, 'access-key', '--format', 'json')).toBe('"one"\n');
    expect(get(unit, uri, 'access-key', '--peek', '--format', 'json')).toBe('"two"\n');
    expect(get(unit, uri, 'access-key', '--format', 'json')).toBe('"one"\n');
    expect(get(unit, uri, 'access-key', '--refresh', '--format', 'json')).toBe('"two"\n');
    expect(get(unit, uri, 'access-key', '--format', 'json')).toBe('"two"\n');
    expect(get(unit, uri, 'nothing')).toBe('ERROR key "nothing" not found\n');
    expect(get(unit, 'secret:nobody')).toBe('ERROR secret "secret:nobody" not found\n');
    expect(get(unit)).toBe('ERROR require either a secret URI or label\n');
  });

  test('that has a newer revision is told once to who has read it, and to nobody else', async () => {
    const names: (string | undefined)[] = [];
    const { sim, model } = await world(
      async ({ event, unit }) => {
        if (event.name !== 'secret-changed') return;
        const context = new HookContext('x', model.unit(unit), { kind: 'command' });
        names.push(hookVariables(context, { charm: '', tools: '', socket: '' }, '', undefined)['JUJU_UNIT_NAME']);
      },
      { units: 2 },
    );
    await sim.settle();
    const uri = model.addSecret('key', { 'access-key': 'one' });
    model.grantSecret(uri, 'toy');
    get(model.unit('toy/0'), uri);

    model.updateSecret(uri, { 'access-key': 'two' });
    model.updateSecret(uri, { 'access-key': 'three' });
    await sim.settle();

    expect(names).toEqual(['toy/0']);
    expect(get(model.unit('toy/0'), uri, 'access-key', '--format', 'json')).toBe('"one"\n');
  });

  test('needs a version that has them, and keys that Juju takes', async () => {
    const { model } = await world(undefined, { version: '2.9.49' });
    expect(() => model.addSecret('key', { key: 'x' })).toThrow('has no secrets of users');
    const newer = await world();
    expect(() => newer.model.addSecret('key', { a: 'x' })).toThrow('invalid key "a"');
  });
});
