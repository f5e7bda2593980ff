import fc from 'fast-check';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import type * as fs from 'node:fs';
import type * as promises from 'node:fs/promises';
import type * as timers from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, test, vi } from 'vitest';
import type * as walNames from '../../src/core/wal-name.ts';
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
  root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'lb-recoveries-'));
  shipped = await RealFront.install(root);
  vi.stubEnv('PG_CLUSTER_CONF_ROOT', join(root, 'conf'));
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => timeOfProgram() ?? now());
});

afterAll(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

/**
 * The same ones each time, so that it is a change that makes them fail; another HISTORY_SEED and more HISTORY_RUNS look further.
 * HISTORY_SEED, with HISTORY_PATH where one was told, repeats.
 */
const seed = Number(process.env['HISTORY_SEED'] ?? 20261124);
const path = process.env['HISTORY_PATH'];
const numRuns = Number(process.env['HISTORY_RUNS'] ?? 600);
/** So many go on side by side, as each waits for a shell and for files most of the time. */
const lanes = path === undefined ? 4 : 1;

test('whatever befalls a recovery, it gets the bytes of its lineage, and is told of an end only where there is one', async () => {
  process.stdout.write(`recoveries: HISTORY_SEED=${seed}, segments of ${historySegmentSize} bytes\n`);
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

  const parameters = path === undefined ? {} : { path };
  const runs = Math.ceil(numRuns / lanes);
  const told = Array.from({ length: lanes }, async (_, lane) => {
    const front = new RealFront(shipped);
    const property = fc.asyncProperty(anyRecovery, async (history) => await tell(front, history));
    try {
      await fc.assert(property, { numRuns: runs, seed: seed + lane, ...parameters });
    } finally {
      front.end();
    }
  });
  await Promise.allSettled(told);
  await Promise.all(told);

  process.stdout.write(`${made} recoveries: ${String(tally)}\n`);
}, 1_800_000);
