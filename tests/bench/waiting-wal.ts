import { execa } from 'execa';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { layout } from '../../src/repository/layout.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import type { DestinationOptions } from '../setup/destinations.ts';
import { residentPeak } from '../setup/peak-memory.ts';
import { makeRecovery, type TestRecovery } from '../setup/recovery.ts';

/** A cluster that is down, and its WAL that nobody has archived yet. */
export interface WaitingWal {
  readonly archived: ArchivedCluster;
  /** What waits to be archived, oldest first. */
  readonly names: readonly string[];
  readonly original: TestRecovery;
  /** Plain copies of the segments. */
  readonly plain: string;
}

/** Looks seldom enough to take next to nothing of the cores, and often enough to be exact to a tenth of a second. */
export async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 600_000;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error('it takes too long');
    await sleep(25);
  }
}

/**
 * Makes a cluster with so many segments of real WAL that wait, `pgbench` and updates that write whole pages, and stops it.
 * The repository lies in the machine's own directory unless options say where.
 */
export async function prepareWal(wantedSegments: number, destination?: DestinationOptions): Promise<WaitingWal> {
  const archived = await makeArchivedCluster({
    segmentMiB: 16,
    archiving: false,
    ...(destination === undefined ? {} : { destination }),
    settings: {
      archive_mode: 'on',
      archive_command: 'true',
      shared_buffers: '128MB',
      max_wal_size: '1GB',
      wal_keep_size: `${16 * (wantedSegments + 60)}MB`,
    },
  });
  const { server, cluster, machine } = archived;
  const pgbench = async (...args: string[]) => {
    const at = ['-h', cluster.socketDirectory, '-p', String(cluster.port), 'postgres'];
    await execa(join(cluster.binaries, 'pgbench'), [...args, ...at]);
  };
  await pgbench('-i', '-q', '-s', '20');
  // It waits until its own WAL is archived; from there on all of it is marked as ready below.
  const original = await makeRecovery(archived, 'original');
  await server.sql("alter system set archive_command = 'false'");
  await server.sql('select pg_reload_conf()');
  const label = await readFile(join(original.dataDirectory, 'backup_label'), 'utf8');
  const first = /\(file ([0-9A-F]{24})\)/.exec(label)?.[1] ?? '';
  const status = join(cluster.dataDirectory, 'pg_wal', 'archive_status');
  const waiting = async () =>
    (await readdir(status)).flatMap((name) => {
      const segment = /^([0-9A-F]{24})\.(ready|done)$/.exec(name)?.[1];
      return segment !== undefined && segment >= first ? [segment] : [];
    });
  for (let round = 0; (await waiting()).length < wantedSegments; round += 1) {
    await pgbench('-c', '4', '-T', '3', '-n');
    const change = `abalance = abalance + ${round}, filler = md5(aid::text || ${round})`;
    await server.sql(`update pgbench_accounts set ${change} where aid % 4 = ${round % 4}`);
    await server.sql('vacuum pgbench_accounts');
    await server.sql('checkpoint'); // Whole pages follow it, as in a busy server.
  }
  await server.sql('select pg_switch_wal()');
  await server.stop();
  const names = (await waiting()).sort();
  for (const name of await readdir(status)) await rm(join(status, name));
  for (const name of names) await writeFile(join(status, `${name}.ready`), '');
  const plain = join(machine.root, 'plain');
  await mkdir(plain);
  for (const name of names) await execa('cp', [join(cluster.dataDirectory, 'pg_wal', name), join(plain, name)]);
  return { archived, names, original, plain };
}

async function forgetOurs({ archived }: WaitingWal): Promise<void> {
  const { storage } = archived.repository;
  for await (const { key } of storage.list(layout.wal(archived.place))) await storage.remove(key);
  await rm(archived.unit.spool, { recursive: true, force: true });
}

/** Runs an archiver over the whole queue; gives back the seconds, and the largest resident memory. */
export async function drainOurs(bench: WaitingWal): Promise<{ seconds: number; peakMiB: number }> {
  await forgetOurs(bench);
  const { unit, machine } = bench.archived;
  const began = performance.now();
  const archiver = execa(join(machine.runtime, 'bin', 'archiver'), [unit.path], { reject: false, cwd: '/' });
  const last = `${bench.names.at(-1) ?? ''}.hi`;
  await until(async () => {
    const files = await readdir(join(unit.spool, 'archive')).catch(() => []);
    const folder = files.find((name) => /^[0-9a-f]{16}$/.test(name));
    if (folder === undefined) return false;
    const there = await readdir(join(unit.spool, 'archive', folder));
    return there.includes(last) && there.filter((name) => /^[0-9A-F].*\.hi$/.test(name)).length >= bench.names.length;
  });
  const seconds = (performance.now() - began) / 1000;
  const peakBytes = (await residentPeak(archiver.pid ?? 0)) ?? 0;
  archiver.kill('SIGTERM');
  await archiver;
  return { seconds, peakMiB: peakBytes / 1024 ** 2 };
}
