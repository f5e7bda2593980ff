import { execa } from 'execa';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { takeLock } from '../../src/system/lock.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lb-lock-'));
  path = join(folder, 'job.lock');
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** Starts a process, in a process group of its own, that tries to take the lock, and gives back what it first says. */
async function taker() {
  const child = execa(process.execPath, [join(import.meta.dirname, 'lock.child.ts'), path], {
    reject: false,
    detached: true,
  });
  const said = await new Promise<string>((resolve) =>
    child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())),
  );
  return { child, said };
}

async function isFree(): Promise<boolean> {
  try {
    await (await takeLock(path, 'the job')).release();
    return true;
  } catch (error) {
    if (isFailure(error, 'busy')) return false;
    throw error;
  }
}

async function becomesFree(): Promise<boolean> {
  for (let left = 50; left > 0; left -= 1) {
    if (await isFree()) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

test('a lock that is held is busy, says what runs, and is free at once when it is released', async () => {
  const lock = await takeLock(path, 'a backup of 15/main');

  await expect(takeLock(path, 'a backup of 15/main')).rejects.toMatchObject({
    kind: 'busy',
    message: 'a backup of 15/main is already running',
  });

  for (let round = 0; round < 5; round += 1) {
    await (round === 0 ? lock : await takeLock(path, 'x')).release();
  }
  expect(await isFree()).toBe(true);
});

test('of two processes that take it at once one holds it and the other is busy', async () => {
  const takers = await Promise.all([taker(), taker(), taker()]);

  expect(takers.map(({ said }) => said).toSorted()).toEqual(['busy', 'busy', 'held']);
  for (const { child } of takers) child.stdin.end();
  await Promise.all(takers.map(async ({ child }) => await child));
  expect(await isFree()).toBe(true);
});

test('kill -9 of the holder frees it', async () => {
  const { child } = await taker();
  expect(await isFree()).toBe(false);

  child.kill('SIGKILL');
  await child;

  expect(await becomesFree()).toBe(true);
});

test.each(['SIGINT', 'SIGHUP', 'SIGTERM'] as const)(
  '%s to the whole process group does not free it while the holder goes on',
  async (signal) => {
    const { child } = await taker();
    const { pid = 0 } = child;

    // As a terminal or systemd would; the holder itself is spared where it has no handler of its own.
    const group = (await execa('pgrep', ['--pgroup', String(pid)])).stdout.split('\n').map(Number);
    for (const each of group) if (each !== pid || signal === 'SIGINT') process.kill(each, signal);
    await new Promise((resolve) => setTimeout(resolve, 200));

    expect(group.length).toBeGreaterThan(1);
    expect(await isFree()).toBe(false);
    child.stdin.end();
    await child;
    expect(await becomesFree()).toBe(true);
  },
);

test("a lock in a folder that is not there is the machine's failure and not busy", async () => {
  await expect(takeLock(join(folder, 'none', 'x.lock'), 'x')).rejects.toMatchObject({
    kind: 'machine',
    message: expect.stringContaining(join(folder, 'none', 'x.lock')),
  });
});
