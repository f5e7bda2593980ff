import { describe, expect, test } from 'vitest';
import { HookContext } from './simulator/context.ts';
import { runTool, toolNames } from './simulator/tool-programs.ts';
import { behaviourOf } from './simulator/versions.ts';
import type { Task } from './simulator/state.ts';
import { world } from './toy-charm.ts';

/** A context of toy/0 among two units, in an action. */
async function context(version = '3.6.27'): Promise<HookContext> {
  const { sim, model } = await world(undefined, { units: 2, version });
  await sim.settle();
  model.moveLeadership('toy', 'toy/0');
  const task = model.ask('toy/0', 'act', { label: 'x' });
  return new HookContext('toy/0-act-0', model.unit('toy/0'), task);
}

/** In the hook peers-relation-changed of toy/1. */
async function inHook(): Promise<HookContext> {
  const { unit } = await context();
  const view = unit.views.get(0);
  const remoteUnit = unit.application.model.units.get('toy/1');
  if (view === undefined) throw new Error('toy/0 has no peers');
  return new HookContext('x', unit, {
    kind: 'hook',
    name: 'peers-relation-changed',
    view,
    remoteUnit,
    done: () => undefined,
  });
}

async function call(line: string, input?: string): Promise<string> {
  const [name = '', ...args] = line.split(' ');
  const { exitCode, stdout, stderr } = runTool(await context(), name, args, input);
  return exitCode === 0 ? stdout : `${exitCode} ${stderr}`;
}

describe('answers, as Juju prints them', () => {
  test.each([
    ['config-get --format json', '{"count":7,"flag":false,"text":"a \\u003cb\\u003e \\u0026 c"}\n'],
    ['config-get --all --format=json', '{"count":7,"flag":false,"text":"a \\u003cb\\u003e \\u0026 c","unset":null}\n'],
    ['config-get text', 'a <b> & c\n'],
    ['config-get flag', 'False\n'],
    ['config-get count', '7\n'],
    ['config-get nothing', ''],
    ['config-get nothing --format json', 'null\n'],
    ['config-get', 'count: 7\nflag: false\ntext: a <b> & c\n'],
    ['relation-ids peers --format json', '["peers:0"]\n'],
    ['relation-ids peers', 'peers:0\n'],
    ['relation-ids nothing --format json', '[]\n'],
    ['relation-ids nothing', ''],
    ['relation-list -r peers:0 --format json', '["toy/1"]\n'],
    ['relation-list -r 0', 'toy/1\n'],
    ['relation-list -r peers:0 --app --format json', '"toy"\n'],
    ['relation-get -r peers:0 - toy/1 --format json', expect.stringContaining('"private-address":"10.0.0.1')],
    ['relation-get -r peers:0 ingress-address toy/1', expect.stringMatching(/^10\.0\.0\.1\d\n$/)],
    ['relation-get -r peers:0 nothing toy/1 --format json', 'null\n'],
    ['relation-get -r peers:0 --app - toy --format json', '{}\n'],
    ['relation-get -r peers:0 --app - toy/1 --format json', '{}\n'],
    ['is-leader --format json', 'true\n'],
    ['is-leader', 'True\n'],
    ['action-get --format json', '{"label":"x"}\n'],
    ['action-get label', 'x\n'],
    ['action-get a.b --format json', 'null\n'],
    ['state-get --format json', 'null\n'],
    ['state-get nothing --format json', '""\n'],
    ['secret-ids --format json', 'null\n'],
    ['status-get --format json', '{"status":"unknown"}\n'],
    ['relation-model-get -r peers:0 --format json', expect.stringContaining('{"uuid":"')],
  ])('%s', async (line, expected) => {
    expect(await call(line)).toEqual(expected);
  });
});

describe('errors, with their exit codes', () => {
  test.each([
    ['relation-get -r peers:9 -', '2 ERROR invalid value "peers:9" for option -r: relation not found\n'],
    ['relation-get -r x -', '2 ERROR invalid value "x" for option -r: invalid relation id\n'],
    ['relation-get -r peers:0 -', '2 ERROR no unit or application specified\n'],
    ['relation-list', '2 ERROR no relation id specified\n'],
    ['relation-set -r peers:0 a', '2 ERROR expected "key=value", got "a"\n'],
    ['relation-set -r peers:0 a=1 a=2', '2 ERROR key "a" specified more than once\n'],
    ['relation-set -r peers:0 --colour red', '2 ERROR option provided but not defined: --colour\n'],
    ['relation-ids peers more', '2 ERROR unrecognized args: ["more"]\n'],
    ['config-get --format xml', expect.stringMatching(/^2 ERROR .*unknown format "xml"\n$/)],
    ['status-set error', expect.stringMatching(/^2 ERROR invalid status "error"/)],
    ['status-set active -x', '2 ERROR option provided but not defined: -x\n'],
    ['status-set active two words', '2 ERROR unrecognized args: ["words"]\n'],
    ['action-set Bad=x', expect.stringMatching(/^2 ERROR key "Bad" must start and end/)],
    ['action-set a.stdout=x', '2 ERROR cannot set reserved action key "stdout"\n'],
    ['action-set a', '2 ERROR argument "a" must be of the form key...=value\n'],
    ['action-fail two words', '2 ERROR unrecognized args: ["words"]\n'],
    ['state-get nothing --strict', '1 ERROR "nothing" not found\n'],
  ])('%s', async (line, expected) => {
    expect(await call(line)).toEqual(expected);
  });

  test('a follower reads the bag of its own application among peers and elsewhere not, and writes neither', async () => {
    const { unit } = await context();
    unit.application.leader = undefined;
    const follower = new HookContext('x', unit, { kind: 'command' });

    expect(runTool(follower, 'relation-set', ['-r', 'peers:0', '--app', 'a=b'])).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: 'ERROR cannot write relation settings\n',
    });
    expect(runTool(follower, 'relation-get', ['-r', 'peers:0', '--app', '-', 'toy']).exitCode).toBe(0);
    expect(runTool(follower, 'relation-get', ['-r', 'postgresql:1', '--app', '-', 'toy']).exitCode).toBe(1);
    expect(runTool(follower, 'is-leader', ['--format', 'json']).stdout).toBe('false\n');
    expect(runTool(follower, 'action-set', ['a=b'])).toMatchObject({
      exitCode: 1,
      stderr: 'ERROR not running an action\n',
    });
  });
});

describe('relation-set', () => {
  const get = ['-r', 'peers:0', '--format', 'json', '-', 'toy/0'];

  test('trims blanks of arguments, takes files as they are, lets arguments win, and an empty value deletes', async () => {
    const here = await context();
    const input = '{"a": " kept ", "b": "file", "n": 5, "gone": "x", "up\\u2028": "\\u007f"}';

    runTool(here, 'relation-set', ['-r', 'peers:0', '--file', '-', ' b = argument '], input);
    runTool(here, 'relation-set', ['-r', 'peers:0', 'gone=']);

    const bag: unknown = JSON.parse(runTool(here, 'relation-get', get).stdout);
    expect(bag).toMatchObject({ a: ' kept ', b: 'argument', n: '5', 'up\u2028': '\u007f' });
    expect(bag).not.toHaveProperty('gone');
    expect(here.unit.views.get(0)?.relation.unitBags.get('toy/0')?.data).not.toHaveProperty('a');
    expect(here.commit()).toBe(true);
    expect(here.unit.views.get(0)?.relation.unitBags.get('toy/0')?.data).toHaveProperty('a', ' kept ');
  });

  test.each(['{"a": "\u0001"}', '{"a": ["b"]}', '{"a"'])(
    'refuses a file that is no YAML of texts: %j',
    async (input) => {
      expect(await call('relation-set -r peers:0 --file -', input)).toMatch(/^1 ERROR yaml: /);
    },
  );
});

test("in a relation's hook the relation and its unit need not be said", async () => {
  const here = await inHook();

  expect(runTool(here, 'relation-ids', []).stdout).toBe('peers:0\n');
  expect(runTool(here, 'relation-list', []).stdout).toBe('toy/1\n');
  expect(runTool(here, 'relation-get', ['ingress-address']).stdout).toMatch(/^10\.0\.0\./);
  runTool(here, 'juju-log', ['-l', 'WARNING', 'so', 'it', 'is']);
  expect(here.unit.log.at(-1)).toEqual({ level: 'WARNING', text: 'peers:0: so it is' });
});

test('results nest by their dots, and a scalar and a map replace each other', async () => {
  const here = await context();

  runTool(here, 'action-set', ['a.b=1', 'a.c= 2 ']);
  expect(here.results).toEqual({ a: { b: '1', c: ' 2 ' } });
  runTool(here, 'action-set', ['a=3', 'd=x', '--', 'd.e=-4']);
  expect(here.results).toEqual({ a: '3', d: { e: '-4' } });
});

test('action-fail and action-log say what they are given behind --', async () => {
  const here = await context();

  runTool(here, 'action-fail', ['--', '-x']);
  runTool(here, 'action-log', ['--', '-a', 'b']);

  expect(here.failure).toBe('-x');
  expect((here.operation as Task).log).toEqual(['-a b']);
});

test('state is written when the hook ends well', async () => {
  const here = await context();
  runTool(here, 'state-set', ['a=1', 'b=2']);
  runTool(here, 'state-delete', ['b']);

  expect(runTool(here, 'state-get', ['--format', 'json']).stdout).toBe('{"a":"1"}\n');
  expect(here.unit.state.size).toBe(0);
  here.commit();
  expect([...here.unit.state]).toEqual([['a', '1']]);
});

describe('versions', () => {
  test.each([
    ['2.9.49', true, false, 'private-address'],
    ['3.6.27', true, true, 'private-address'],
    ['4.0.15', false, true, 'none'],
  ])('%s has leader-get %s, secret-ids %s, and %s in bags', async (version, leader, secrets, address) => {
    const here = await context(version);
    const names = toolNames(behaviourOf(version));
    const bag: unknown = JSON.parse(
      runTool(here, 'relation-get', ['-r', 'peers:0', '--format', 'json', '-', 'toy/1']).stdout,
    );

    expect([names.includes('leader-get'), names.includes('secret-ids')]).toEqual([leader, secrets]);
    expect(Object.keys(bag as object).includes('private-address')).toBe(address === 'private-address');
    expect(bag).toHaveProperty('ingress-address');
    expect(runTool(here, 'leader-get', []).exitCode).toBe(leader ? 0 : 1);
  });

  test('others are not simulated', () => {
    expect(() => behaviourOf('2.8.1')).toThrow('not simulated');
    expect(() => behaviourOf('5.0.0')).toThrow('not simulated');
  });
});
