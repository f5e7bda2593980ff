import fc from 'fast-check';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { mebibyte } from '../setup/wal-unit.ts';
import { historySegmentSize } from './history-size.ts';

/** How many histories are told, and which. */
export interface HistoryRun {
  readonly seed: number;
  /** The one that failed, to be repeated. */
  readonly path: string | undefined;
  readonly runs: number;
}

/** HISTORY_SEED, with HISTORY_PATH where one was told, repeats; HISTORY_RUNS makes more of them. */
export function historyRun(usual: Pick<HistoryRun, 'seed' | 'runs'>): HistoryRun {
  return {
    seed: Number(process.env['HISTORY_SEED'] ?? usual.seed),
    path: process.env['HISTORY_PATH'],
    runs: Number(process.env['HISTORY_RUNS'] ?? usual.runs),
  };
}

/**
 * Tells them, four side by side, as each waits for files most of the time; `tell` is called for each side with what holds a
 * property there. Fails when all of them have ended.
 */
export async function tellHistories(
  { seed, path, runs }: HistoryRun,
  tell: (hold: <T>(property: fc.IAsyncProperty<T>) => Promise<void>) => Promise<void>,
): Promise<void> {
  const lanes = path === undefined ? 4 : 1;
  const parameters = { numRuns: Math.ceil(runs / lanes), ...(path === undefined ? {} : { path }) };
  const told = Array.from({ length: lanes }, async (_, lane) => {
    await tell(async (property) => {
      await fc.assert(property, { ...parameters, seed: seed + lane });
    });
  });
  await Promise.allSettled(told);
  await Promise.all(told);
}

/** A folder for their files: what is synced here is proven elsewhere, and thousands of histories sync tens of thousands of times. */
export function historyRoot(name: string): string {
  const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `lb-${name}-`));
  vi.stubEnv('PG_CLUSTER_CONF_ROOT', join(root, 'conf'));
  return root;
}

/** Buffers of a segment's size, too: a MiB for each would keep the garbage collector busy. */
export function useSmallBuffers(): void {
  const allocate = Buffer.allocUnsafeSlow;
  vi.spyOn(Buffer, 'allocUnsafeSlow').mockImplementation((size) =>
    allocate(size === mebibyte ? 2 * historySegmentSize : size),
  );
}
