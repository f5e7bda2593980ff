import fc from 'fast-check';
import { mkdirSync, rmSync } from 'node:fs';
import type * as fs from 'node:fs';
import type * as promises from 'node:fs/promises';
import type * as timers from 'node:timers/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, test, vi } from 'vitest';
import type * as walNames from '../../src/core/wal-name.ts';
import { historyRoot, historyRun, tellHistories, useSmallBuffers } from './history-run.ts';
import { historySegmentSize } from './history-size.ts';
import { Tally } from './history-tally.ts';
import { timeOfProgram } from './recovery-machine.ts';
import { anyStreaming, takeStreamingStep, type StreamingHistory } from './streaming-steps.ts';
import { StreamingWorld } from './streaming-world.ts';

// As in recovery-histories.test.ts; the server is the history's too.
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
vi.mock('../../src/postgres/query.ts', async () => (await import('./streaming-postgres.ts')).query);
vi.mock('../../src/postgres/slot.ts', async () => (await import('./streaming-postgres.ts')).slots);
vi.mock('../../src/postgres/control-data.ts', async () => (await import('./streaming-postgres.ts')).controlData);
vi.mock('../../src/postgres/timeline-history.ts', async () => (await import('./streaming-postgres.ts')).writingPlace);
vi.mock('../../src/postgres/reload.ts', async () => (await import('./streaming-postgres.ts')).reloading);
vi.mock('../../src/postgres/archiving-facts.ts', async () => (await import('./streaming-postgres.ts')).effective);
vi.mock('../../src/postgres/replication.ts', async () => (await import('./streaming-postgres.ts')).replication);
vi.mock('../../src/postgres/receive-wal.ts', async () => (await import('./streaming-postgres.ts')).receivers);
vi.mock('../../src/system/lock.ts', async () => (await import('./streaming-postgres.ts')).locks);

let root: string;

beforeAll(() => {
  root = historyRoot('streams');
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => timeOfProgram() ?? now());
  useSmallBuffers();
});

afterAll(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

/** The same ones each time, so that it is a change that makes them fail; another HISTORY_SEED and more HISTORY_RUNS look further. */
const asked = historyRun({ seed: 20261124, runs: 400 });

let made = 0;

async function tell(tally: Tally, { method, steps }: StreamingHistory): Promise<void> {
  const folder = join(root, String((made += 1)));
  mkdirSync(folder);
  const world = await StreamingWorld.make(folder, tally, method);
  try {
    for (const step of steps) {
      await takeStreamingStep(world, step);
      await world.prove();
    }
    await world.settle();
  } finally {
    await world.end();
    rmSync(folder, { recursive: true });
  }
}

const sound = { fault: undefined, mishap: undefined };

test('the way back to archiving ends where a timeline began in its last segment', async () => {
  await tell(new Tally(), {
    method: 'stream',
    steps: [
      { is: 'start', ...sound },
      { is: 'pass', milliseconds: 3000 },
      { is: 'write', count: historySegmentSize },
      { is: 'receive', count: 4 * historySegmentSize, tells: true },
      { is: 'job', method: 'archive', looksOnly: false, ...sound },
      { is: 'promote' },
    ],
  });
});

test('whatever befalls a stream and the ways to it and back, what was told to be durable is stored, and no hole is unknown', async () => {
  process.stdout.write(`streams: HISTORY_SEED=${asked.seed}\n`);
  const tally = new Tally();
  const property = fc.asyncProperty(anyStreaming, async (history) => await tell(tally, history));

  await tellHistories(asked, async (hold) => {
    await hold(property);
  });

  process.stdout.write(`${made} streams: ${String(tally)}\n`);
}, 1_800_000);
