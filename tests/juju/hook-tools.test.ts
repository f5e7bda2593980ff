import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HookTools } from '../../src/juju/hook-tools.ts';
import { makeHookTools } from '../../src/juju/hook-tool-programs.ts';
import { containing } from '../setup/containing.ts';

let directory = '';
let tools: HookTools;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lb-tools-'));
  tools = makeHookTools({ env: { PATH: `${directory}:/usr/bin:/bin` }, timeoutMs: 5000 });
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** Puts a tool on the PATH that keeps its arguments, NUL behind each, and its input, and gives this answer. */
async function tool(name: string, answer: string, exitCode = 0): Promise<void> {
  const file = join(directory, name);
  const script = `#!/bin/sh
for a in "$@"; do printf '%s\\0' "$a" >>'${directory}/args'; done
printf '\\n\\0' >>'${directory}/args'
cat >'${directory}/input'
cat <<'ANSWER'
${answer}
ANSWER
exit ${exitCode}
`;
  await writeFile(file, script);
  await chmod(file, 0o755);
}

/** The calls so far, each with its arguments. */
async function calls(): Promise<readonly (readonly string[])[]> {
  const text = await readFile(join(directory, 'args'), 'utf8');
  return text
    .split('\n\0')
    .slice(0, -1)
    .map((call) => call.split('\0').slice(0, -1));
}

describe('answers', () => {
  test.each<[string, string, (asked: HookTools) => Promise<unknown>, unknown]>([
    ['config-get', '{"a":"x","b":1,"c":false}', async (asked) => await asked.configGet(), { a: 'x', b: 1, c: false }],
    ['relation-ids', '["peers:0"]', async (asked) => await asked.relationIds('peers'), ['peers:0']],
    ['relation-ids', 'null', async (asked) => await asked.relationIds('peers'), []],
    ['relation-list', '["a/0","a/1"]', async (asked) => await asked.relationUnits('peers:0'), ['a/0', 'a/1']],
    ['relation-list', '"a"', async (asked) => await asked.relationApplication('peers:0'), 'a'],
    ['relation-get', '{"k":"v"}', async (asked) => await asked.relationGet('peers:0', 'unit', 'a/0'), { k: 'v' }],
    ['relation-get', 'null', async (asked) => await asked.relationGet('peers:0', 'app', 'a'), {}],
    ['secret-get', '{"key":"two\\nlines"}', async (asked) => await asked.secretGet('secret:x'), { key: 'two\nlines' }],
    ['is-leader', 'true', async (asked) => await asked.isLeader(), true],
    ['action-get', '{"n":{"m":1}}', async (asked) => await asked.actionGet(), { n: { m: 1 } }],
    ['action-get', 'null', async (asked) => await asked.actionGet(), {}],
  ])('%s %s', async (name, answer, asking, expected) => {
    await tool(name, answer);

    expect(await asking(tools)).toEqual(expected);
  });

  test('secrets are asked for in their newest revision, by a URI that is no flag', async () => {
    await tool('secret-get', '{}');

    await tools.secretGet('--secret');

    expect(await calls()).toEqual([['--format', 'json', '--refresh', '--', '--secret']]);
  });

  test('a failing is-leader means that we do not lead', async () => {
    await tool('is-leader', '', 1);

    expect(await tools.isLeader()).toBe(false);
  });

  test.each(['', '[1]', 'ERROR'])('an answer of another shape is a failure: %j', async (answer) => {
    await tool('config-get', answer);

    await expect(tools.configGet()).rejects.toMatchObject({ kind: 'machine', message: containing('config-get') });
  });

  test('a tool that fails is a failure with its text', async () => {
    await writeFile(
      join(directory, 'relation-set'),
      '#!/bin/sh\necho ERROR cannot write relation settings >&2\nexit 1\n',
    );
    await chmod(join(directory, 'relation-set'), 0o755);

    await expect(tools.relationSet('peers:0', 'app', { a: 'b' })).rejects.toMatchObject({
      kind: 'machine',
      message: containing('cannot write relation settings'),
    });
  });

  test('a tool that hangs is a failure after its time', async () => {
    await writeFile(join(directory, 'config-get'), '#!/bin/sh\nexec sleep 60\n');
    await chmod(join(directory, 'config-get'), 0o755);
    const impatient = makeHookTools({ env: { PATH: `${directory}:/usr/bin:/bin` }, timeoutMs: 100 });

    await expect(impatient.configGet()).rejects.toMatchObject({
      kind: 'machine',
      message: containing('took too long'),
    });
  });
});

describe('what is said', () => {
  test.each<[string, (said: HookTools) => Promise<void>, readonly string[]]>([
    ['status-set', async (said) => await said.statusSet('blocked', '-x: set it'), ['blocked', '--', '-x: set it']],
    ['application-version-set', async (said) => await said.applicationVersionSet('1.0'), ['--', '1.0']],
    ['action-fail', async (said) => await said.actionFail('--no'), ['--', '--no']],
    ['action-log', async (said) => await said.actionLog('-5 left'), ['--', '-5 left']],
    ['juju-log', async (said) => await said.log('WARNING', '-w'), ['--log-level', 'WARNING', '--', '-w']],
    ['action-set', async (said) => await said.actionSet({ a: '-1', 'b.c': ' d ' }), ['--', 'a=-1', 'b.c= d ']],
  ])('%s gets text that looks like a flag as text', async (name, saying, args) => {
    await tool(name, '');

    await saying(tools);

    expect(await calls()).toEqual([args]);
  });

  test('a line that Linux would not take is cut at the border of a character', async () => {
    await tool('juju-log', '');

    await tools.log('INFO', 'é'.repeat(100_000));

    const [[, , , line = ''] = []] = await calls();
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(131_071);
    expect(line).toMatch(/^é+…$/);
    expect(line.length).toBeGreaterThan(65_000);
  });

  test('results that are too much for one call come in several', async () => {
    await tool('action-set', '');
    const results = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`r${n}`, 'x'.repeat(100_000)]));

    await tools.actionSet(results);

    const all = await calls();
    expect(all.length).toBe(2);
    expect(all.flatMap(([, ...args]) => args)).toEqual(
      Object.entries(results).map(([name, text]) => `${name}=${text}`),
    );
  });
});

describe('relation-set', () => {
  test('gives exact values by its input, and none by its arguments', async () => {
    await tool('relation-set', '');

    await tools.relationSet('peers:0', 'app', { a: ' b ', gone: '' });

    expect(await calls()).toEqual([['-r', 'peers:0', '--app', '--file', '-']]);
    expect(await readFile(join(directory, 'input'), 'utf8')).toBe('{"a":" b ","gone":""}');
  });

  test('escapes what a YAML reader would refuse or change', async () => {
    await tool('relation-set', '');

    await tools.relationSet('peers:0', 'unit', { a: 'x\u0000\u007f\u0085\u2028\ufeff\ud800y' });

    const input = await readFile(join(directory, 'input'), 'utf8');
    expect(input).toBe(String.raw`{"a":"x\u0000\u007f\u0085\u2028\ufeff` + '\ufffdy"}');
  });

  test('is not called with nothing', async () => {
    await tools.relationSet('peers:0', 'unit', {});
  });
});
