import { execa } from 'execa';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { all, bytes, noise } from './bytes.ts';
import { temporaryDirectory, type TemporaryDirectory } from './temporary-directory.ts';

let directory: TemporaryDirectory;

beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(async () => {
  await directory.destroy();
});

/** Starts a process that puts; it begins when its input is closed. */
async function putter(key: string, seed: number, length: number, count = 1) {
  const args = [
    join(import.meta.dirname, 'put.child.ts'),
    directory.path,
    key,
    String(seed),
    String(length),
    String(count),
  ];
  const child = execa(process.execPath, args, { reject: false });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return { child }; // Wrapped: the child itself is a promise of its end.
}

test('of several processes that put one key at once exactly one wins', async () => {
  const seeds = [1, 2, 3, 4, 5];
  const children = await Promise.all(seeds.map(async (seed) => await putter('a/b', seed, 300_000)));

  for (const { child } of children) child.stdin.end();
  const said = (await Promise.all(children.map(async ({ child }) => await child))).map(({ stdout }) =>
    stdout.split('\n').at(-1),
  );

  const winner = said.indexOf('a/b stored');
  expect(said.toSorted((a, b) => ((a ?? '') < (b ?? '') ? -1 : 1))).toEqual([
    ...Array.from({ length: 4 }, () => 'a/b conflict'),
    'a/b stored',
  ]);
  const storage = await directory.open();
  expect((await bytes(await storage.get('a/b'))).equals(noise(300_000, seeds[winner] ?? 0))).toBe(true);
  expect(await all(storage.list(''))).toHaveLength(1);
});

test('a process killed at any instant leaves whole objects, all that it called stored, and what a sweep removes', async () => {
  const seed = Date.now() % 1_000_000;
  console.info(`seed ${seed}`);
  const delays = noise(8, seed);
  const plain = noise(400_000, 7);

  for (const [round, delay] of delays.entries()) {
    const { child } = await putter(`a/${round}`, 7, plain.byteLength, 10_000);
    child.stdin.end();
    await new Promise((resolve) => setTimeout(resolve, 5 + delay / 2));
    child.kill('SIGKILL');
    const { stdout } = await child;
    const called = stdout.split('\n').flatMap((line) => /^(\S+) stored$/.exec(line)?.[1] ?? []);

    const storage = await directory.open();
    const listed = (await all(storage.list(''))).map(({ key }) => key);
    expect(listed).toEqual(expect.arrayContaining(called));
    for (const key of listed.filter((each) => each.startsWith(`a/${round}-`))) {
      expect((await bytes(await storage.get(key))).equals(plain), key).toBe(true);
    }
    await storage.sweep('', new Date(Date.now() + 60_000));
    const left = (await all(storage.list(''))).map(({ key }) => key);
    expect(left).toEqual(listed);
    for (const key of listed) await storage.remove(key);
  }
  expect(await all((await directory.open()).list(''))).toEqual([]); // An empty folder may be left; it does no harm.
});
