import fc from 'fast-check';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import type * as fs from 'node:fs';
import type * as promises from 'node:fs/promises';
import type * as timers from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, test, vi } from 'vitest';
import type * as walNames from '../../src/core/wal-name.ts';
import { mebibyte } from '../setup/wal-unit.ts';
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
  root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'lb-streams-'));
  vi.stubEnv('PG_CLUSTER_CONF_ROOT', join(root, 'conf'));
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => timeOfProgram() ?? now());
  const allocate = Buffer.allocUnsafeSlow;
  vi.spyOn(Buffer, 'allocUnsafeSlow').mockImplementation((size) =>
    allocate(size === mebibyte ? 2 * historySegmentSize : size),
  );
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
const numRuns = Number(process.env['HISTORY_RUNS'] ?? 400);
/** So many go on side by side, as each waits for files most of the time. */
const lanes = path === undefined ? 4 : 1;

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
  process.stdout.write(`streams: HISTORY_SEED=${seed}\n`);
  const tally = new Tally();
  const property = fc.asyncProperty(anyStreaming, async (history) => await tell(tally, history));

  const parameters = path === undefined ? {} : { path };
  const runs = Math.ceil(numRuns / lanes);
  const told = Array.from({ length: lanes }, async (_, lane) => {
    await fc.assert(property, {
      numRuns: runs,
      seed: seed + lane,
      ...parameters,
    });
  });
  await Promise.allSettled(told);
  await Promise.all(told);

  process.stdout.write(`${made} streams: ${String(tally)}\n`);
}, 1_800_000);
