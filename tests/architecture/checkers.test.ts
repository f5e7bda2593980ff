import { execa } from 'execa';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
let planted = '';

beforeAll(async () => {
  planted = await mkdtemp(join(tmpdir(), 'lb-planted-'));
  await symlink(join(root, 'node_modules'), join(planted, 'node_modules'));
  await plant('package.json', '{ "name": "planted", "type": "module" }');
});

afterAll(async () => {
  await rm(planted, { recursive: true, force: true });
});

async function plant(path: string, text: string): Promise<string> {
  const file = join(planted, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  return file;
}

async function check(tool: string, ...args: string[]): Promise<{ exitCode: number; said: string }> {
  const { exitCode, all } = await execa(join(root, 'node_modules', '.bin', tool), args, {
    cwd: planted,
    reject: false,
    all: true,
  });
  return { exitCode: exitCode ?? -1, said: all };
}

describe('types', () => {
  test.each([
    ['a number where a string belongs', 'export const a: string = 1;', 1, 'TS2322'],
    ['an unchecked index', 'export const f = (a: string[]): string => a[0];', 1, 'TS2322'],
    ['an undefined for an optional property', 'export const a: { b?: string } = { b: undefined };', 1, 'TS2375'],
    ['right types', 'export const a: string = "1";', 0, ''],
  ])('%s', async (_what, text, exitCode, said) => {
    await plant('types/a.ts', text);
    await plant('types/tsconfig.json', JSON.stringify({ extends: join(root, 'tsconfig.json'), include: ['a.ts'] }));

    const result = await check('tsc', '-p', 'types');

    expect(result.exitCode === 0).toBe(exitCode === 0);
    expect(result.said).toContain(said);
  });
});

describe('lint', () => {
  test.each([
    ['a floating promise', 'async function f(): Promise<void> {}\nf();\nexport {};', 'no-floating-promises'],
    ['an any', 'export const a: any = 1;', 'no-explicit-any'],
    ['a word on the console', 'console.log(1);\nexport {};', 'no-console'],
    ['a default export', 'export default 1;', 'no-default-export'],
    ['a cast', 'export const f = (a: unknown): string => a as string;', 'consistent-type-assertions'],
    ['a non-null assertion', 'export const f = (a: string | null): string => a!;', 'no-non-null-assertion'],
    [
      'a switch that forgets a case',
      `export const f = (a: 'b' | 'c'): void => { switch (a) { case 'b': return; } };`,
      'switch-exhaustiveness-check',
    ],
  ])('%s', async (_what, text, rule) => {
    await plant('lint/tsconfig.json', JSON.stringify({ extends: join(root, 'tsconfig.json'), include: ['a.ts'] }));
    await plant('lint/a.ts', text);

    const { exitCode, said } = await check(
      'oxlint',
      '--type-aware',
      '-c',
      join(root, 'tests/architecture/oxlint.json'),
      'lint',
    );

    expect(exitCode).not.toBe(0);
    expect(said).toContain(rule);
  });

  test('a cycle between two files', async () => {
    await plant('cycle/a.ts', `import { b } from './b.ts';\nexport const a = (): number => b();\n`);
    await plant('cycle/b.ts', `import { a } from './a.ts';\nexport const b = (): number => a();\n`);

    const { exitCode, said } = await check('oxlint', '-c', join(root, 'tests/architecture/oxlint.json'), 'cycle');

    expect(exitCode).not.toBe(0);
    expect(said).toContain('no-cycle');
  });

  // The folder above is called `tests` so that no rule for tests may go by such a name in a path.
  test.each([
    ['a file over its budget', `export const a = 1;\n${'// a line\n'.repeat(300)}`, 'max-lines'],
    [
      'a function over its budget',
      `export function f(): void {\n${'  f();\n'.repeat(61)}}\n`,
      'max-lines-per-function',
    ],
  ])('%s fails in src and passes in tests', async (_what, text, rule) => {
    await plant('tests/clone/a.ts', text);

    const strict = await check('oxlint', '-c', join(root, 'tests/architecture/oxlint.json'), 'tests/clone');
    const forTests = await check('oxlint', '-c', join(root, 'tests/architecture/oxlint.tests.json'), 'tests/clone');

    expect(strict.exitCode).not.toBe(0);
    expect(strict.said).toContain(`(${rule})`);
    expect(forTests.exitCode).toBe(0);
  });

  test('what makes src wrong makes tests wrong', async () => {
    await plant('lint/a.ts', 'async function f(): Promise<void> {}\nf();\nexport const a: any = 1;\n');

    const config = join(root, 'tests/architecture/oxlint.tests.json');
    const { said } = await check('oxlint', '--type-aware', '-c', config, 'lint');

    for (const rule of ['no-floating-promises', 'no-explicit-any']) expect(said).toContain(rule);
  });

  test('a clean file', async () => {
    await plant('lint/a.ts', 'export const a = 1;\n');

    expect(
      (await check('oxlint', '--type-aware', '-c', join(root, 'tests/architecture/oxlint.json'), 'lint')).exitCode,
    ).toBe(0);
  });
});

test('format: an unformatted file fails, a formatted one passes', async () => {
  const file = await plant('format/a.ts', 'export const a   = 1');
  const failed = await check('prettier', '--check', file);

  await plant('format/a.ts', 'export const a = 1;\n');
  const passed = await check('prettier', '--check', file);

  expect([failed.exitCode, passed.exitCode]).toEqual([1, 0]);
});

test('dead code: an export that nothing uses fails, one that is used passes', async () => {
  await plant(
    'knip/package.json',
    '{ "name": "planted", "type": "module", "knip": { "entry": ["a.ts"], "project": ["*.ts"] } }',
  );
  await plant('knip/a.ts', `import { used } from './b.ts';\nprocess.stdout.write(used);\n`);
  await plant('knip/b.ts', `export const used = '1';\nexport const dead = '2';\n`);
  const failed = await check('knip', '--directory', join(planted, 'knip'));

  await plant('knip/b.ts', `export const used = '1';\n`);
  const passed = await check('knip', '--directory', join(planted, 'knip'));

  expect(failed.said).toContain('dead');
  expect([failed.exitCode, passed.exitCode]).toEqual([1, 0]);
});
