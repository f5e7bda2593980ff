import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** One project per kind of test, told by the end of the file's name. */
function project(name: string, include: readonly string[], exclude: readonly string[] = [], more = {}) {
  return {
    extends: true as const,
    test: { name, include: [...include], exclude: [...exclude, 'node_modules/**', 'dist/**'], ...more },
  };
}

const special = ['tests/**/*.integration.test.ts', 'tests/**/*.story.test.ts', 'tests/**/*.long.test.ts'];

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  cacheDir: join(tmpdir(), 'landscape-backup-vitest'),
  test: {
    pool: 'forks',
    maxWorkers: 3,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    globalSetup: ['tests/setup/global.ts'],
    projects: [
      project('architecture', ['tests/architecture/**/*.test.ts']),
      project('unit', ['tests/**/*.test.ts'], [...special, 'tests/architecture/**']),
      project('integration', ['tests/**/*.integration.test.ts']),
      // Whole machines take their time where others are at work too.
      project('stories', ['tests/**/*.story.test.ts'], [], { testTimeout: 300_000, hookTimeout: 300_000 }),
      project('long', ['tests/**/*.long.test.ts']),
    ],
  },
});
