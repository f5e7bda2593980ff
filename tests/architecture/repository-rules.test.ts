import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findLockFaults, findStrangePlaces } from './repository-rules.ts';

const root = join(import.meta.dirname, '..', '..');

/** Every file of the project, whether or not git is there to ask. */
async function ownFiles(): Promise<readonly string[]> {
  const made = new Set(['node_modules', 'dist', '.git']);
  const entries = (await readdir(root, { withFileTypes: true })).filter(({ name }) => !made.has(name));
  const files = entries.map(async (entry) => {
    if (!entry.isDirectory()) return [entry.name];
    const below = await readdir(join(root, entry.name), { recursive: true, withFileTypes: true });
    return below.filter((file) => file.isFile()).map((file) => relative(root, join(file.parentPath, file.name)));
  });
  return (await Promise.all(files)).flat().filter((path) => !path.startsWith('tests/architecture/repository-rules'));
}

describe('the lock file', () => {
  test('serves every machine', async () => {
    expect(findLockFaults(await readFile(join(root, 'package-lock.json'), 'utf8'))).toEqual([]);
  });

  test.each([
    ['an address', { 'node_modules/a': { resolved: 'https://there/a.tgz' } }, 'bound to one address'],
    [
      'an optional package that is not locked',
      { 'node_modules/a': { optionalDependencies: { b: '1.0.0' } } },
      'b, which',
    ],
  ])('%s is found', (_what, packages, said) => {
    expect(findLockFaults(JSON.stringify({ packages })).join('\n')).toContain(said);
  });
});

describe('places of one machine', () => {
  test('no file names one', async () => {
    const texts = await Promise.all(
      (await ownFiles()).map(async (path) => ({
        path,
        text: await readFile(join(root, path), 'utf8').catch(() => ''),
      })),
    );

    expect(texts.length).toBeGreaterThan(50);
    expect(texts.flatMap(({ path, text }) => findStrangePlaces(path, text))).toEqual([]);
  });

  test.each([
    ['a work folder', `const place = '/work/main/src';`],
    ['a home folder', 'see /home/somebody/notes.md'],
    ['a registry', 'registry=https://registry.example.org/npm'],
  ])('%s is found', (_what, text) => {
    expect(findStrangePlaces('a.ts', `\n${text}`)[0]).toContain('a.ts:2: ');
  });

  test('a path below another folder and a public page are not', () => {
    expect(findStrangePlaces('a.ts', '/srv/work/main https://www.postgresql.org/docs /var/lib/home/x')).toEqual([]);
  });
});
