/**
 * `npm test` and `npm run test:long`: every check in order, each with its time; stops at the first that fails and ends with
 * a plain line that counts the tests.
 */
import { execa } from 'execa';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

const summarySchema = z.object({ numPassedTests: z.number(), numFailedTests: z.number(), numPendingTests: z.number() });

const isLong = process.argv.includes('--long');
const summaryFile = join(tmpdir(), `landscape-backup-tests-${process.pid}.json`);

const formatted = ['src', 'tests', '*.json', '*.md', '*.yaml'];

const checks: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['types', 'tsc', '-p', '.'],
  ['lint', 'oxlint', '--type-aware', '--quiet', '-c', 'tests/architecture/oxlint.json', 'src'],
  ['lint of the tests', 'oxlint', '--type-aware', '--quiet', '-c', 'tests/architecture/oxlint.tests.json', 'tests'],
  ['format', 'prettier', '--check', '--log-level', 'warn', '--no-error-on-unmatched-pattern', ...formatted],
  ['dead code', 'knip'],
];

const suites: readonly (readonly [name: string, ...projects: string[]])[] = isLong
  ? [['long tests', 'long']]
  : [
      ['architecture and unit tests', 'architecture', 'unit'],
      ['integration tests', 'integration'],
      ['stories', 'stories'],
    ];

async function step(name: string, command: string, args: readonly string[]): Promise<boolean> {
  const began = Date.now();
  process.stdout.write(`\n== ${name}\n`);
  const { exitCode } = await execa(command, args, { stdio: ['ignore', 'inherit', 'inherit'], reject: false });
  process.stdout.write(
    `== ${name}: ${exitCode === 0 ? 'good' : 'FAILED'} (${((Date.now() - began) / 1000).toFixed(1)} s)\n`,
  );
  return exitCode === 0;
}

async function main(): Promise<boolean> {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  let good = true;
  if (!isLong) {
    for (const [name, command, ...args] of checks) {
      good = good && (await step(name, command, args));
    }
  }
  for (const [name, ...projects] of suites) {
    if (!good) break;
    await rm(summaryFile, { force: true });
    const chosen = projects.flatMap((project) => ['--project', project]);
    // A story is several machines with their own servers: two at a time are enough for two cores.
    if (projects.includes('stories')) chosen.push('--maxWorkers=2');
    good = await step(name, 'vitest', [
      'run',
      '--config',
      'tests/vitest.config.ts',
      '--passWithNoTests',
      ...chosen,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${summaryFile}`,
    ]);
    const text = await readFile(summaryFile, 'utf8').catch(() => '');
    if (text === '') continue;
    const counted = summarySchema.parse(JSON.parse(text));
    totals.passed += counted.numPassedTests;
    totals.failed += counted.numFailedTests;
    totals.skipped += counted.numPendingTests;
  }
  await rm(summaryFile, { force: true });
  const failed = good ? totals.failed : Math.max(totals.failed, 1);
  process.stdout.write(
    `\n${totals.passed} passed, ${failed} failed${totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''}\n`,
  );
  return good && failed === 0;
}

process.exitCode = (await main()) ? 0 : 1;
