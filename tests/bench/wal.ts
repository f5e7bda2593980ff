/**
 * The part of `npm run bench` about WAL in motion; it runs as the clusters' owner, in a process of its own.
 *
 *   LANDSCAPE_BACKUP_TEST_RUNTIME=<runtime> node tests/bench/wal.ts [--segments 200] [--runs 3] [--only push | get | recovery]
 */
import { execa } from 'execa';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { prefetchFolder } from '../../src/archiver/prefetch-spool.ts';
import { servePlanFile } from '../../src/archiver/restore-wal.ts';
import { servePlanSchema } from '../../src/core/restore-service.ts';
import { readWalName, segmentNumber } from '../../src/core/wal-name.ts';
import { writeJson } from '../../src/system/files.ts';
import { becomeOwner } from '../setup/machine.ts';
import { compareRuns, type Side } from './compare.ts';
import { Peer } from './peer.ts';
import { drainOurs, prepareWal, until, type WaitingWal } from './waiting-wal.ts';

const { values } = parseArgs({
  options: {
    segments: { type: 'string', default: '200' },
    runs: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
  },
});
const runs = Number(values.runs);
const segmentSize = 16 * 1024 * 1024;
const calls = 60;

/** Commands as lines of `directory<TAB>word<TAB>…`; prints for each what it took in milliseconds and how it ended. */
const timer = `use Time::HiRes 'time'; while (<STDIN>) { chomp; my ($dir, @c) = split /\\t/; chdir $dir; my $at = time;
  my $rc = system(@c); printf "%.3f %d\\n", (time - $at) * 1000, $rc >> 8; }`;

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

async function putInService({ archived, names }: WaitingWal): Promise<void> {
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

function startPrefetcher({ archived }: WaitingWal, dataDirectory: string) {
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
  bench: WaitingWal,
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

async function oursReady({ archived }: WaitingWal, name: string): Promise<boolean> {
  const root = prefetchFolder(archived.unit);
  const folder = (await readdir(root).catch(() => [])).find((each) => /^[0-9a-f]{16}$/.test(each));
  return folder !== undefined && (await isFile(join(root, folder, name)));
}

/** Seconds that replay took, as PostgreSQL's own log says. */
async function recover(bench: WaitingWal, name: string, command: (dataDirectory: string) => string): Promise<number> {
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

async function benchPush(bench: WaitingWal, peer: Peer): Promise<void> {
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

async function benchGet(bench: WaitingWal, peer: Peer): Promise<void> {
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

async function benchRecovery(bench: WaitingWal, peer: Peer): Promise<void> {
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
const bench = await prepareWal(Number(values.segments));
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
