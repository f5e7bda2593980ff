import fc from 'fast-check';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { chmod, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type * as walNames from '../../src/core/wal-name.ts';
import { walSteps } from '../../src/archiver/wal-steps.ts';
import { encryptionOptions, newAgeKey } from '../setup/age.ts';
import { historySegmentSize } from './history-size.ts';
import { mebibyte } from '../setup/wal-unit.ts';
import { HistorySpare } from './history-restore.ts';
import { anyHistory, isEncrypted, take, type HistoryStep } from './history-steps.ts';
import { Tally } from './history-tally.ts';
import { HistoryWorld } from './history-world.ts';

// Programs open what their settings name: that is the place where a destination can be put under them that fails.
vi.mock('../../src/storage/open.ts', async () => {
  const { openForProgram } = await import('./history-destination.ts');
  return { openStorage: openForProgram };
});
// A segment of PostgreSQL's has 1 MiB and more; thousands of histories take seconds with smaller ones.
vi.mock('../../src/core/wal-name.ts', async (original) => {
  const { historySegmentSize } = await import('./history-size.ts');
  const real = await original<typeof walNames>();
  return { ...real, isSegmentSize: (bytes: number) => bytes === historySegmentSize || real.isSegmentSize(bytes) };
});

let root: string;

beforeAll(async () => {
  // What is synced here is proven elsewhere; thousands of histories sync tens of thousands of times.
  root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'lb-histories-'));
  vi.stubEnv('PG_CLUSTER_CONF_ROOT', join(root, 'conf'));
  // Buffers of a segment's size, too: a MiB for each would keep the garbage collector busy.
  const allocate = Buffer.allocUnsafeSlow;
  vi.spyOn(Buffer, 'allocUnsafeSlow').mockImplementation((size) =>
    allocate(size === mebibyte ? 2 * historySegmentSize : size),
  );
  await mkdir(join(root, 'bin'));
  await cp(join(import.meta.dirname, '..', '..', 'charm', 'bin', 'archive-wal'), join(root, 'bin', 'archive-wal'));
  await writeFile(join(root, 'bin', 'node'), '#!/bin/sh\nexit 7\n');
  for (const program of ['archive-wal', 'node']) await chmod(join(root, 'bin', program), 0o755);
});

afterAll(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await rm(root, { recursive: true, force: true });
});

/** HISTORY_SEED, with HISTORY_PATH where one was told, repeats; HISTORY_RUNS makes more of them. */
const seed = Number(process.env['HISTORY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const path = process.env['HISTORY_PATH'];
const numRuns = Number(process.env['HISTORY_RUNS'] ?? 2000);
/** So many go on side by side, as each waits for files most of the time. */
const lanes = path === undefined ? 4 : 1;

test('in whatever order things happen and fail, nothing that was acknowledged is lost, and nothing stored changes', async () => {
  process.stdout.write(`histories: HISTORY_SEED=${seed}\n`);
  const tally = new Tally();
  const key = newAgeKey();
  let made = 0;
  const tell = async (encrypts: boolean, history: readonly HistoryStep[]) => {
    const folder = join(root, String((made += 1)));
    mkdirSync(folder);
    try {
      const setting = { tally, front: join(root, 'bin', 'archive-wal') };
      const world = await HistoryWorld.make(folder, setting, encrypts ? encryptionOptions([key], [key]) : {});
      const spare = new HistorySpare(world);
      for (const step of history) await take(world, spare, step);
      await world.settle();
      await world.prove();
      await spare.askForAny(made, made % 2 === 0, undefined);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  const property = fc.asyncProperty(isEncrypted, anyHistory, tell);

  const parameters = path === undefined ? {} : { path };
  const runs = Math.ceil(numRuns / lanes);
  const told = Array.from({ length: lanes }, async (_, lane) => {
    await fc.assert(property, { numRuns: runs, seed: seed + lane, ...parameters });
  });
  await Promise.all(told);

  process.stdout.write(`${made} histories: ${String(tally)}\n`);
  if (path !== undefined || numRuns < 2000) return;
  for (const step of walSteps) expect(tally.count(`killed at: ${step}`), step).toBeGreaterThan(0);
}, 1_800_000);
