import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findBrokenArrows, readSources } from './arrows.ts';

const src = join(import.meta.dirname, '..', '..', 'src');

test('every file of src keeps the arrows', async () => {
  const sources = await readSources(src);

  expect(sources.length).toBeGreaterThan(50);
  expect(findBrokenArrows(sources)).toEqual([]);
});

describe('a planted violation is found', () => {
  test.each([
    ['core imports a room above', 'core/a.ts', `import { x } from '../system/files.ts';`, 'core may not know system'],
    ['core imports node', 'core/a.ts', `import { readFile } from 'node:fs/promises';`, 'core is pure'],
    ['core asks the clock', 'core/a.ts', `export const now = Date.now();`, 'core asks no clock'],
    ['core makes a date of now', 'core/a.ts', `export const now = new Date();`, 'core asks no clock'],
    ['core makes a date of now without brackets', 'core/a.ts', `export const now = new Date;`, 'core asks no clock'],
    ['core keeps the clock for later', 'core/a.ts', `export const clock = Date.now;`, 'core asks no clock'],
    ['core reads the other clock', 'core/a.ts', `export const now = performance.now();`, 'core asks no clock'],
    ['core asks for chance', 'core/a.ts', `export const id = crypto.randomUUID();`, 'core asks no clock'],
    ['core waits', 'core/a.ts', `setTimeout(() => {}, 1);`, 'core asks no clock'],
    [
      'a clock behind a string that looks like a comment',
      'core/a.ts',
      `const all = '/*';\nconst now = Date.now();\nconst end = '*/';`,
      'core asks no clock',
    ],
    ['a clock behind an apostrophe', 'core/a.ts', `// it's\nconst now = Date.now(); // isn't`, 'core asks no clock'],
    [
      'postgres knows storage',
      'postgres/a.ts',
      `import { s } from '../storage/storage.ts';`,
      'postgres may not know storage',
    ],
    ['jobs know commands', 'jobs/deep/a.ts', `export { c } from '../../commands/c.ts';`, 'jobs may not know commands'],
    ['a dynamic import', 'storage/a.ts', `await import('../repository/seal.ts');`, 'storage may not know repository'],
    [
      'an import over several lines',
      'system/a.ts',
      `import {\n  x,\n} from '../jobs/x.ts';`,
      'system may not know jobs',
    ],
    ['a process is started elsewhere', 'jobs/a.ts', `import { execa } from 'execa';`, 'system/process.ts'],
    ['the environment is read elsewhere', 'jobs/a.ts', `const a = process.env['HOME'];`, 'system/environment.ts'],
    ['the environment is read by its name', 'jobs/a.ts', `const a = process['env'];`, 'system/environment.ts'],
    ['the process is imported', 'jobs/a.ts', `import { env } from 'node:process';`, 'the process is the global one'],
    ['an exit code is set elsewhere', 'jobs/a.ts', `process.exitCode = 1;`, 'belong to main'],
    ['a folder that is no room', 'utils/a.ts', `export {};`, 'lies in no room'],
  ])('%s', (_what, path, text, said) => {
    expect(findBrokenArrows([{ path, text }]).join('\n')).toContain(said);
  });

  test('what is allowed is not found', () => {
    const text = `import { z } from 'zod';\nimport { a } from './b.ts';\n// Date.now() in a comment\n/** process.env */\nexport const d = new Date(0);\nexport const e: Date = a;\nexport const c = 'process.env' as const;`;

    expect(findBrokenArrows([{ path: 'core/a.ts', text }])).toEqual([]);
  });
});
