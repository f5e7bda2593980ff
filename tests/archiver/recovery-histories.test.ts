import fc from 'fast-check';
import { mkdirSync, rmSync } from 'node:fs';
import type * as fs from 'node:fs';
import type * as promises from 'node:fs/promises';
import type * as timers from 'node:timers/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, test, vi } from 'vitest';
import type * as walNames from '../../src/core/wal-name.ts';
import { historyRoot, historyRun, tellHistories } from './history-run.ts';
import { historySegmentSize } from './history-size.ts';
import { Tally } from './history-tally.ts';
import { RealFront } from './recovery-front.ts';
import { timeOfProgram } from './recovery-machine.ts';
import { anyRecovery, takeStep, type RecoveryHistory } from './recovery-steps.ts';
import { RecoveryWorld } from './recovery-world.ts';

// As in histories.test.ts; beside the destination also the file system, time, and what is watched are the histories'.
vi.mock('../../src/storage/open.ts', async () => {
  const { openForProgram } = await import('./history-destination.ts');
  return { openStorage: openForProgram };
});
vi.mock('../../src/core/wal-name.ts', async (original) => {
  const { historySegmentSize: size } = await import('./history-size.ts');
  const real = await original<typeof walNames>();
  return { ...real, isSegmentSize: (bytes: number) => bytes === size || real.isSegmentSize(bytes) };
});
vi.mock('../../src/archiver/wake.ts', async () => {
  const { makeHistoryWake } = await import('./recovery-machine.ts');
  return { makeWake: makeHistoryWake };
});
vi.mock('node:timers/promises', async (original) => {
  const { timersFor } = await import('./recovery-machine.ts');
  return timersFor(await original<typeof timers>());
});
vi.mock('node:fs', async (original) => {
  const { filesFor } = await import('./recovery-machine.ts');
  return filesFor(await original<typeof fs>());
});
vi.mock('node:fs/promises', async (original) => {
  const { asyncFilesFor } = await import('./recovery-machine.ts');
  return asyncFilesFor(await original<typeof promises>());
});

let root: string;
let shipped: string;

beforeAll(async () => {
  root = historyRoot('recoveries');
  shipped = await RealFront.install(root);
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => timeOfProgram() ?? now());
});

afterAll(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

/** The same ones each time, so that it is a change that makes them fail; another HISTORY_SEED and more HISTORY_RUNS look further. */
const asked = historyRun({ seed: 20261124, runs: 600 });

test('whatever befalls a recovery, it gets the bytes of its lineage, and is told of an end only where there is one', async () => {
  process.stdout.write(`recoveries: HISTORY_SEED=${asked.seed}, segments of ${historySegmentSize} bytes\n`);
  const tally = new Tally();
  let made = 0;
  const tell = async (front: RealFront, { past, lacks, steps }: RecoveryHistory) => {
    const folder = join(root, String((made += 1)));
    mkdirSync(folder);
    const world = await RecoveryWorld.make(folder, front, tally, past);
    try {
      for (const [index, key] of [...world.model.files.keys()].entries()) {
        if (((lacks >> (index % 26)) & 1) === 0) world.store.arrive(key);
      }
      for (const step of steps) {
        await takeStep(world, step);
        await world.prove();
      }
      await world.settle();
    } finally {
      await world.end();
      rmSync(folder, { recursive: true });
    }
  };

  await tellHistories(asked, async (hold) => {
    const front = new RealFront(shipped);
    try {
      await hold(fc.asyncProperty(anyRecovery, async (history) => await tell(front, history)));
    } finally {
      front.end();
    }
  });

  process.stdout.write(`${made} recoveries: ${String(tally)}\n`);
}, 1_800_000);
