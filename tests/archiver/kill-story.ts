import { execa } from 'execa';
import { createCipheriv, createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { archiveLimitMs } from '../../src/archiver/archive-wal.ts';
import { segmentName } from '../../src/core/wal-name.ts';
import { listWal, readWal, walKeyIn } from '../../src/repository/wal-store.ts';
import type { StartDestinations } from '../setup/destinations.ts';
import { makeWalUnit, mebibyte, segmentBytes, type WalUnit } from '../setup/wal-unit.ts';
import { all } from '../storage/bytes.ts';

const victims = ['front', 'node', 'group'] as const;

/** A generator of numbers from 0 to 1 that gives the same ones for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a row of kills has met. */
interface KillStory {
  readonly seed: number;
  /** Calls that were killed before they had ended. */
  readonly killed: number;
  /** Calls whose object was complete though they never said so. */
  readonly storedUnsaid: number;
  /** Temporary files or begun uploads that killed calls left at the destination. */
  readonly rests: number;
  /** How long the slowest of the calls went on after its front was killed. */
  readonly slowestMs: number;
}

/**
 * Archives segments one after the other as PostgreSQL does, each killed at a random instant and then asked for again, and
 * holds after every kill that the destination has a whole object under the name or none.
 */
async function killArchiveWal(
  runtime: string,
  rounds: number,
  seed: number,
  start: StartDestinations,
): Promise<KillStory> {
  const random = randomFrom(seed);
  const destinations = await start();
  const at = await makeWalUnit(await destinations.add());
  let [killed, storedUnsaid, slowestMs] = [0, 0, 0];
  try {
    let fullMs = 300;
    for (let round = 0; round < rounds; round += 1) {
      const what = `seed ${seed}, round ${round}`;
      const bytes = noise(5 + round, `${seed}`);
      const file = await at.write(segmentName(1, 5 + round, bytes.byteLength), bytes);
      const victim = victims[Math.floor(random() * victims.length)] ?? 'front';
      const isKilled = await archiveAndKill(runtime, at, file, victim, random() * fullMs * 1.2);
      if (isKilled) killed += 1;
      slowestMs = Math.max(slowestMs, Math.round(await orphansHaveEnded(runtime, at)));
      if (await isWhole(at, file.name, bytes, what)) storedUnsaid += isKilled ? 1 : 0;
      const began = performance.now();
      const { exitCode, stderr } = await archive(runtime, at, file);
      fullMs = performance.now() - began;
      if (exitCode !== 0) throw new Error(`${what}: the next call failed with ${exitCode}: ${stderr}`);
      if (!(await isWhole(at, file.name, bytes, what))) throw new Error(`${what}: 0, but nothing is stored`);
      await rm(join(at.dataDirectory, file.path));
    }
    const stored = await storedNames(at);
    if (stored.length !== rounds) throw new Error(`seed ${seed}: ${stored.length} of ${rounds} are stored`);
    const rests = await at.repository.storage.sweep('', new Date(Date.now() + 60_000));
    return { seed, killed, storedUnsaid, rests, slowestMs };
  } finally {
    await at.remove();
    await destinations.stop();
  }
}

/** A segment that no compression makes small, so that storing it takes its time. */
function noise(number: number, key: string): Buffer {
  const sizeBytes = 16 * mebibyte;
  const cipher = createCipheriv('aes-128-ctr', createHash('md5').update(key).digest(), Buffer.alloc(16, number));
  const bytes = cipher.update(Buffer.alloc(sizeBytes));
  segmentBytes({ timeline: 1, number, sizeBytes }).copy(bytes, 0, 0, 40);
  return bytes;
}

function archive(runtime: string, at: WalUnit, { path, name }: { path: string; name: string }) {
  return execa(join(runtime, 'bin', 'archive-wal'), [at.unit.path, path, name], {
    cwd: at.dataDirectory,
    reject: false,
    detached: true,
  });
}

/** Says whether the call was still running when it was killed. A call that ends with 0 must have stored. */
async function archiveAndKill(
  runtime: string,
  at: WalUnit,
  file: { path: string; name: string },
  victim: (typeof victims)[number],
  afterMs: number,
): Promise<boolean> {
  const call = archive(runtime, at, file);
  const front = call.pid ?? 0;
  await Promise.race([sleep(afterMs), call]);
  if (victim === 'node') await execa('pkill', ['-KILL', '-P', String(front)], { reject: false });
  else kill(victim === 'group' ? -front : front);
  const { exitCode } = await call;
  if (exitCode === 0 && !(await storedNames(at)).includes(file.name)) throw new Error('0, but nothing is stored');
  return exitCode !== 0;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** Gives back the milliseconds that it took. A call may wait for its destination as long as its own limit says, and no longer. */
async function orphansHaveEnded(runtime: string, { unit }: WalUnit): Promise<number> {
  // Of this unit: other tests run the same program.
  const call = `${join(runtime, 'bin')}/../lib/archive-wal.js ${unit.path}`;
  const began = performance.now();
  while (performance.now() - began < archiveLimitMs + 30_000) {
    if ((await execa('pgrep', ['-f', call], { reject: false })).exitCode === 1) return performance.now() - began;
    await sleep(20);
  }
  throw new Error('a call whose front was killed does not end');
}

/** Tells whether the object is there; what is there must be whole and these bytes. */
async function isWhole(at: WalUnit, name: string, bytes: Buffer, what: string): Promise<boolean> {
  if (!(await storedNames(at)).includes(name)) return false;
  const chunks: Uint8Array[] = [];
  for await (const chunk of readWal(at.repository, walKeyIn(at.repository, at.place, name))) chunks.push(chunk);
  if (!Buffer.concat(chunks).equals(bytes)) throw new Error(`${what}: ${name} is stored with other bytes`);
  return true;
}

async function storedNames(at: WalUnit): Promise<readonly string[]> {
  return await all(listWal(at.repository, at.place));
}

/** The test that kills so many calls; KILL_SEED repeats it. */
export function killArchiveWalTest(
  name: string,
  start: StartDestinations,
  { rounds, killed, storedUnsaid = 0 }: { rounds: number; killed: number; storedUnsaid?: number },
): void {
  test(
    `archive-wal to ${name}, killed at up to ${rounds} random instants, leaves no hole and nothing torn`,
    { timeout: 300_000 + rounds * 10_000 },
    async () => {
      const seed = Number(process.env['KILL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
      process.stdout.write(`archive-wal kills: KILL_SEED=${seed}\n`);

      const story = await killArchiveWal(process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] ?? '', rounds, seed, start);

      process.stdout.write(`${JSON.stringify(story)}\n`);
      expect(story.killed).toBeGreaterThanOrEqual(killed);
      expect(story.storedUnsaid).toBeGreaterThanOrEqual(storedUnsaid);
    },
  );
}
