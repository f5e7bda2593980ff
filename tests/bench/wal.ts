/**
 * The part of `npm run bench` about WAL in motion; it runs as the clusters' owner, in a process of its own.
 *
 *   LANDSCAPE_BACKUP_TEST_RUNTIME=<runtime> node tests/bench/wal.ts [--segments 200] [--runs 3] [--only push | get | recovery]
 */
import { execa } from 'execa';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { prefetchFolder } from '../../src/archiver/prefetch-spool.ts';
import { servePlanFile } from '../../src/archiver/restore-wal.ts';
import { servePlanSchema } from '../../src/core/restore-service.ts';
import { readWalName, segmentNumber } from '../../src/core/wal-name.ts';
import { layout } from '../../src/repository/layout.ts';
import { writeJson } from '../../src/system/files.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { becomeOwner } from '../setup/machine.ts';
import { makeRecovery, type TestRecovery } from '../setup/recovery.ts';
import { compareRuns, type Side } from './compare.ts';

const { values } = parseArgs({
  options: {
    segments: { type: 'string', default: '200' },
    runs: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
  },
});
const wantedSegments = Number(values.segments);
const runs = Number(values.runs);
const segmentSize = 16 * 1024 * 1024;
const calls = 60;

/** Commands as lines of `directory<TAB>word<TAB>…`; prints for each what it took in milliseconds and how it ended. */
const timer = `use Time::HiRes 'time'; while (<STDIN>) { chomp; my ($dir, @c) = split /\\t/; chdir $dir; my $at = time;
  my $rc = system(@c); printf "%.3f %d\\n", (time - $at) * 1000, $rc >> 8; }`;

interface Bench {
  readonly archived: ArchivedCluster;
  /** What waits to be archived, oldest first. */
  readonly names: readonly string[];
  readonly original: TestRecovery;
  /** Plain copies of the segments. */
  readonly plain: string;
}

async function timeCalls(lines: readonly (readonly string[])[]): Promise<readonly number[]> {
  const input = lines.map((words) => `${words.join('\t')}\n`).join('');
  const { stdout } = await execa('perl', ['-e', timer], { input });
  return stdout.split('\n').map((line) => {
    const [milliseconds = '', code] = line.split(' ');
    if (code !== '0') throw new Error(`a call ended with ${code ?? '?'}`);
    return Number(milliseconds);
  });
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 600_000;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error('it takes too long');
    await sleep(5);
  }
}

async function prepare(): Promise<Bench> {
  const archived = await makeArchivedCluster({
    segmentMiB: 16,
    archiving: false,
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

async function forgetOurs({ archived }: Bench): Promise<void> {
  await rm(join(archived.machine.destination, layout.wal(archived.place)), { recursive: true, force: true });
  await rm(archived.unit.spool, { recursive: true, force: true });
}

/** Runs an archiver over the whole queue; gives back the seconds, and the largest resident memory. */
async function drainOurs(bench: Bench): Promise<{ seconds: number; peakMiB: number }> {
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
  const status = await readFile(`/proc/${archiver.pid ?? 0}/status`, 'utf8');
  archiver.kill('SIGTERM');
  await archiver;
  return { seconds, peakMiB: Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024 };
}

class Peer {
  readonly #bench: Bench;
  readonly #root: string;

  constructor(bench: Bench) {
    this.#bench = bench;
    this.#root = join(bench.archived.machine.root, 'pgbackrest');
  }

  get spool(): string {
    return join(this.#root, 'spool', 'archive', 'bench');
  }

  args(more: readonly string[], dataDirectory = this.#bench.archived.cluster.dataDirectory): readonly string[] {
    return [
      'pgbackrest',
      `--config=${join(this.#root, 'config')}`,
      '--stanza=bench',
      `--pg1-path=${dataDirectory}`,
      ...more,
    ];
  }

  async make(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
    for (const name of ['repo', 'spool', 'lock']) await mkdir(join(this.#root, name), { recursive: true });
    const lines = [
      '[global]',
      `repo1-path=${join(this.#root, 'repo')}`,
      `spool-path=${join(this.#root, 'spool')}`,
      `lock-path=${join(this.#root, 'lock')}`,
      'log-level-file=off',
      'log-level-console=error',
      'compress-type=zst',
      'compress-level=1',
      `process-max=${availableParallelism()}`,
      'archive-async=y',
      'archive-mode-check=n',
      'archive-get-queue-max=256MB',
      'archive-timeout=60',
      '[bench]',
      `pg1-path=${this.#bench.archived.cluster.dataDirectory}`,
      '',
    ];
    await writeFile(join(this.#root, 'config'), lines.join('\n'));
    const [command = '', ...args] = this.args(['--no-online', 'stanza-create']);
    await execa(command, args);
  }

  async forgetFetched(): Promise<void> {
    await rm(join(this.spool, 'in'), { recursive: true, force: true });
  }

  async drain(): Promise<{ seconds: number; peakMiB: number }> {
    await this.make();
    const { cluster } = this.#bench.archived;
    const [command = '', ...args] = this.args(['archive-push', `pg_wal/${this.#bench.names[0] ?? ''}`]);
    const began = performance.now();
    await execa(command, args, { cwd: cluster.dataDirectory });
    await until(async () => {
      const done = (await readdir(join(this.spool, 'out')).catch(() => [])).filter((name) => name.endsWith('.ok'));
      return done.length >= this.#bench.names.length;
    });
    return { seconds: (performance.now() - began) / 1000, peakMiB: Number.NaN };
  }
}

async function putInService({ archived, names }: Bench): Promise<void> {
  const numbers = names.flatMap((name) => {
    const read = readWalName(name);
    return read?.kind === 'segment' ? [segmentNumber(read, segmentSize) ?? 0] : [];
  });
  const { systemIdentifier, incarnation } = archived.place;
  await mkdir(archived.unit.restore, { recursive: true });
  await writeJson(servePlanFile(archived.unit), servePlanSchema, {
    format: 1,
    planId: 'bench',
    patienceSeconds: 5,
    service: {
      repositoryId: archived.repository.record.id,
      url: archived.repository.storage.url,
      systemIdentifier,
      segmentSize,
      segments: [{ timeline: 1, first: Math.min(...numbers), last: Math.max(...numbers), incarnation }],
      histories: [],
    },
  });
}

function startPrefetcher({ archived }: Bench, dataDirectory: string) {
  const { runtime } = archived.machine;
  const args = [join(runtime, 'lib', 'prefetch.js'), archived.unit.path, dataDirectory];
  const child = execa(join(runtime, 'bin', 'node'), args, { reject: false, stdin: 'pipe', cwd: '/' });
  return {
    kill: (signal: 'SIGSTOP' | 'SIGCONT') => {
      child.kill(signal);
    },
    stop: async () => {
      child.stdin.end();
      await child;
    },
  };
}

/** Asks for segments of which so many lie ready while nobody fetches more, some rounds long; what is timed is only the call. */
async function getCalls(
  bench: Bench,
  call: (name: string) => readonly string[],
  quiet: (names: readonly string[]) => Promise<() => void>,
): Promise<number> {
  const target = join(bench.original.dataDirectory, 'pg_wal', 'RECOVERYXLOG');
  const took: number[] = [];
  for (let at = 1; at + 8 < Math.min(bench.names.length, 50); at += 7) {
    const names = bench.names.slice(at, at + 7);
    const goOn = await quiet(names);
    for (const name of names) {
      took.push(...(await timeCalls([[bench.original.dataDirectory, ...call(name)]])));
      await rm(target);
    }
    goOn();
  }
  return median(took);
}

async function isFile(path: string): Promise<boolean> {
  return await readFile(path, { flag: 'r' }).then(
    () => true,
    () => false,
  );
}

async function oursReady({ archived }: Bench, name: string): Promise<boolean> {
  const root = prefetchFolder(archived.unit);
  const folder = (await readdir(root).catch(() => [])).find((each) => /^[0-9a-f]{16}$/.test(each));
  return folder !== undefined && (await isFile(join(root, folder, name)));
}

/** Seconds that replay took, as PostgreSQL's own log says. */
async function recover(bench: Bench, name: string, command: (dataDirectory: string) => string): Promise<number> {
  const recovery = await bench.original.copy(name);
  try {
    await writeFile(join(recovery.dataDirectory, 'recovery.signal'), '');
    const settings = { archive_mode: 'off', hot_standby: 'off', shared_buffers: '128MB', max_wal_size: '4GB' };
    const isOpen = await recovery.start({ ...settings, restore_command: command(recovery.dataDirectory) });
    const elapsed = /redo done at .* elapsed: ([\d.]+) s/.exec(await recovery.log())?.[1];
    if (!isOpen || elapsed === undefined) throw new Error(`recovery did not end: ${await recovery.log()}`);
    return Number(elapsed);
  } finally {
    await recovery.remove();
  }
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' ');
}

async function benchPush(bench: Bench, peer: Peer): Promise<void> {
  const segmentsASecond = (seconds: number) => bench.names.length / seconds;
  let peakMiB = 0;
  const ours: Side = {
    name: 'ours',
    run: async () => {
      const measured = await drainOurs(bench);
      peakMiB = Math.max(peakMiB, measured.peakMiB);
      return segmentsASecond(measured.seconds);
    },
  };
  const theirs: Side = { name: 'pgBackRest async', run: async () => segmentsASecond((await peer.drain()).seconds) };
  await compareRuns(`drain ${bench.names.length} ready segments, segments a second`, 'at least 3', runs, ours, theirs);
  process.stdout.write(`  peak        ${peakMiB.toFixed(0)} MiB resident (to reach: at most 200)\n`);

  const { cluster, unit, machine } = bench.archived;
  const at = cluster.dataDirectory;
  const name = bench.names[3] ?? '';
  const many = (words: readonly string[]) => Array.from({ length: calls }, () => [at, ...words]);
  await compareRuns(
    'archive-wal that finds its acknowledgement, ms a call',
    'at most 0.33',
    runs,
    {
      name: 'ours',
      run: async () =>
        median(await timeCalls(many([join(machine.runtime, 'bin', 'archive-wal'), unit.path, `pg_wal/${name}`, name]))),
    },
    {
      name: 'archive-push',
      run: async () => median(await timeCalls(many(peer.args(['archive-push', `pg_wal/${name}`])))),
    },
  );
}

async function benchGet(bench: Bench, peer: Peer): Promise<void> {
  const { unit, machine } = bench.archived;
  const front = join(machine.runtime, 'bin', 'restore-wal');
  const data = bench.original.dataDirectory;
  await putInService(bench);
  const target = 'pg_wal/RECOVERYXLOG';
  await compareRuns(
    'restore-wal of a prefetched segment, ms a call',
    'at most 0.33',
    runs,
    {
      name: 'ours',
      run: async () => {
        const prefetcher = startPrefetcher(bench, data);
        const call = (name: string) => [front, unit.path, target, name];
        const took = await getCalls(bench, call, async (names) => {
          await until(async () => (await Promise.all(names.map((name) => oursReady(bench, name)))).every(Boolean));
          prefetcher.kill('SIGSTOP');
          return () => prefetcher.kill('SIGCONT');
        });
        await prefetcher.stop();
        return took;
      },
    },
    {
      name: 'archive-get',
      run: async () => {
        await peer.forgetFetched();
        const call = (name: string) => peer.args(['archive-get', name, target], data);
        await timeCalls([[data, ...call(bench.names[0] ?? '')]]);
        return await getCalls(bench, call, async (names) => {
          await until(async () => {
            const there = await Promise.all(names.map((name) => isFile(join(peer.spool, 'in', name))));
            if (!there.every(Boolean)) await timeCalls([[data, ...call(bench.names[0] ?? '')]]).catch(() => []);
            return there.every(Boolean);
          });
          await sleep(500); // Its asynchronous process ends when its queue is full.
          return () => undefined;
        });
      },
    },
  );
}

async function benchRecovery(bench: Bench, peer: Peer): Promise<void> {
  const { unit, machine } = bench.archived;
  const front = join(machine.runtime, 'bin', 'restore-wal');
  await putInService(bench);
  const ours = async () => {
    let prefetcher: ReturnType<typeof startPrefetcher> | undefined;
    const seconds = await recover(bench, 'ours', (at) => {
      prefetcher = startPrefetcher(bench, at);
      return quoted([front, unit.path, '%p', '%f']);
    });
    await prefetcher?.stop();
    return seconds;
  };
  const copied: Side = {
    name: 'cp',
    run: async () => await recover(bench, 'copied', () => `cp '${bench.plain}/%f' '%p'`),
  };
  const work = `recovery through ${bench.names.length} segments, seconds of replay`;
  await compareRuns(work, 'at most 1.1', runs, { name: 'ours', run: ours }, copied);
  const theirs: Side = {
    name: 'pgBackRest async',
    run: async () => {
      await peer.forgetFetched();
      return await recover(bench, 'theirs', (at) => quoted(peer.args(['archive-get', '%f', '%p'], at)));
    },
  };
  await compareRuns(work, 'less than 1', runs, { name: 'ours', run: ours }, theirs);
}

becomeOwner();
const bench = await prepare();
try {
  const peer = new Peer(bench);
  const isWanted = (part: string) => values.only === '' || values.only === part;
  if (isWanted('push')) await benchPush(bench, peer);
  else {
    // What is fetched has to be stored.
    await drainOurs(bench);
    await peer.drain();
  }
  if (isWanted('get')) await benchGet(bench, peer);
  if (isWanted('recovery')) await benchRecovery(bench, peer);
} finally {
  await bench.archived.machine.destroy();
}
