import { expect, test } from 'vitest';
import { askFirstLine, serve } from '../../src/system/process.ts';

test('a program that answers and then hangs is not waited for', async () => {
  const startedAt = performance.now();
  expect(await askFirstLine('sh', ['-c', 'echo answer; echo more; exec sleep 60'], 20_000)).toBe('answer');
  expect(performance.now() - startedAt).toBeLessThan(5000);
});

test.each([
  ['says nothing in time', 'exec sleep 60'],
  ['says no whole line', 'printf half; exec sleep 60'],
  ['ends without a word', 'exit 3'],
])('a program that %s has no answer', async (_what, script) => {
  expect(await askFirstLine('sh', ['-c', script], 300)).toBeUndefined();
});

test('a program that is missing has no answer', async () => {
  expect(await askFirstLine('/nowhere/program', [], 300)).toBeUndefined();
});

test('who is told to end while it serves a program tells the program, and waits for how it ends', async () => {
  const script = `trap 'exit 7' TERM; kill -TERM "$1"; while :; do sleep 0.05; done`;
  expect(await serve('sh', ['-c', script, 'sh', String(process.pid)], async () => undefined)).toBe(7);
});
