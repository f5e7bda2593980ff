import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { settingsFile } from '../../src/system/home.ts';
import { makeArchivedCluster, type ArchivedCluster } from './archived-cluster.ts';
import type { DestinationOptions } from './destinations.ts';
import type { Machine } from './machine.ts';
import { runForPeak } from './peak-memory.ts';

/** A cluster of so many thousand bytes that do not compress, which sends its repository backups and no WAL. */
export async function makeNoisyCluster(thousands: number, destination?: DestinationOptions): Promise<ArchivedCluster> {
  const archived = await makeArchivedCluster({
    archiving: false,
    segmentMiB: 16,
    settings: { max_wal_size: '2GB' },
    ...(destination === undefined ? {} : { destination }),
  });
  await appendFile(settingsFile(archived.machine.home), 'wal-archiving: false\n');
  await archived.server.sql('CREATE EXTENSION pgcrypto');
  await archived.server.sql(
    `CREATE TABLE noise AS SELECT gen_random_bytes(1000) AS b FROM generate_series(1, ${thousands})`,
  );
  return archived;
}

/** Runs a command, holds that it succeeded in the 200 MB of memory that are promised, and gives back what it told as JSON. */
export async function runInLittleMemory(machine: Machine, args: readonly string[]): Promise<unknown> {
  const program = join(machine.runtime, 'bin', 'landscape-backup');
  const all = [...args, '--home', machine.home, '--format', 'json'];
  const { exitCode, stdout, stderr, mostBytes } = await runForPeak(program, all, machine.env);

  expect(exitCode, stderr + stdout).toBe(0);
  expect(mostBytes).toBeGreaterThan(20_000_000);
  expect(mostBytes).toBeLessThan(200_000_000);
  return JSON.parse(stdout);
}
