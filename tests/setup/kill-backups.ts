import { execa } from 'execa';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { takeBackup } from '../../src/jobs/backup.ts';
import { readCatalogue } from '../../src/repository/catalogue.ts';
import { readJournal } from '../../src/system/journal.ts';
import { backupContext, type ArchivedCluster } from './archived-cluster.ts';
import { proveBackup } from './prove-backup.ts';

/** Numbers between 0 and 1 that a seed always gives again (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The seed to use: the one that is to be replayed, or a new one. */
export function chooseSeed(): number {
  return Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32));
}

function command({ machine }: ArchivedCluster) {
  const args = ['backup', '--home', machine.home, '--format', 'json'];
  return execa(join(machine.runtime, 'bin', 'landscape-backup'), args, { reject: false, env: machine.env, cwd: '/' });
}

/**
 * Kills the command `landscape-backup backup` at random instants of its life. After each kill every backup in the repository
 * is proven whole; at the end one that nobody kills succeeds at once.
 */
export async function killBackups(archived: ArchivedCluster, times: number, seed: number): Promise<void> {
  const random = seededRandom(seed);
  // The first run of a program is slower than those after it, and would have most kills come too late.
  let lifeMs = Math.min(await wholeLife(archived), await wholeLife(archived));
  const proven = new Set<string>();
  for (let turn = 0; turn < times; turn += 1) {
    await archived.server.sql(`INSERT INTO t VALUES (${turn}, 'turn')`);
    lifeMs = await killOne(archived, lifeMs, random);
    await proveAll(archived, proven);
  }
  const next = await takeBackup(backupContext(archived), { trigger: 'retry' });
  await discard(await proveBackup(archived, next));
  const jobs = await readJournal(archived.unit);
  expect(jobs.at(-1)?.outcome).toBe('succeeded');
  // A killed job's line stays as it was begun: whoever looks knows that it died.
  expect(jobs.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
}

/** How many milliseconds a backup takes that nobody kills. */
async function wholeLife(archived: ArchivedCluster): Promise<number> {
  const began = performance.now();
  const whole = await command(archived);
  expect(whole.exitCode, whole.stderr).toBe(0);
  return performance.now() - began;
}

/** Kills one at a random instant of such a life; those that ended before show that it is shorter. Gives what it is then. */
async function killOne(archived: ArchivedCluster, lifeMs: number, random: () => number): Promise<number> {
  for (let attempt = 1; attempt <= 20; attempt += 1) {
    const running = command(archived);
    await sleep(random() * lifeMs);
    running.kill('SIGKILL');
    if ((await running).signal === 'SIGKILL') return lifeMs;
    lifeMs *= 0.8;
  }
  throw new Error('twenty backups ended before they could be killed');
}

async function proveAll(archived: ArchivedCluster, proven: Set<string>): Promise<void> {
  const { incarnations } = await readCatalogue(archived.repository, archived.place.systemIdentifier);
  for (const { backups, unfinished } of incarnations) {
    expect(unfinished.filter(({ unreadable }) => unreadable !== undefined)).toEqual([]);
    for (const backup of backups) {
      if (proven.has(backup.id)) continue;
      await discard(await proveBackup(archived, backup));
      proven.add(backup.id);
    }
  }
}

async function discard(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
