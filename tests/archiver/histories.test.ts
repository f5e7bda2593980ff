import fc from 'fast-check';
import { mkdirSync, rmSync } from 'node:fs';
import { chmod, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type * as walNames from '../../src/core/wal-name.ts';
import { walSteps } from '../../src/archiver/wal-steps.ts';
import { encryptionOptions, newAgeKey } from '../setup/age.ts';
import { historyRoot, historyRun, tellHistories, useSmallBuffers } from './history-run.ts';
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
  root = historyRoot('histories');
  useSmallBuffers();
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

const asked = historyRun({ seed: Math.floor(Math.random() * 2 ** 31), runs: 2000 });

test('in whatever order things happen and fail, nothing that was acknowledged is lost, and nothing stored changes', async () => {
  process.stdout.write(`histories: HISTORY_SEED=${asked.seed}\n`);
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

  await tellHistories(asked, async (hold) => {
    await hold(property);
  });

  process.stdout.write(`${made} histories: ${String(tally)}\n`);
  if (asked.path !== undefined || asked.runs < 2000) return;
  for (const step of walSteps) expect(tally.count(`killed at: ${step}`), step).toBeGreaterThan(0);
}, 1_800_000);
