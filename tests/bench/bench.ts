/**
 * `npm run bench`: backup and restore side by side with pgBackRest, on the same data and disk, in one run.
 *
 * Pairs run in turn (ours, theirs, ours, theirs …), so that a machine whose speed drifts drifts for both; what is told is the
 * ratio of each pair, as median with minimum and maximum. Nothing here fails a build.
 *
 *   npm run bench -- [--gigabytes 3] [--runs 3] [--segments 200] [--only data | wal | push | get | recovery]
 */
import { execa } from 'execa';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { setup } from '../setup/global.ts';
import { middle } from './compare.ts';
import { asOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';

const { values } = parseArgs({
  options: {
    gigabytes: { type: 'string', default: '3' },
    runs: { type: 'string', default: '3' },
    segments: { type: 'string', default: '200' },
    only: { type: 'string', default: '' },
  },
});
const gigabytes = Number(values.gigabytes);
const runs = Number(values.runs);

interface Measured {
  readonly seconds: number;
  /** The largest resident memory of any one process of the program, in MiB. */
  readonly peakMiB: number;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/**
 * Runs a program and measures its wall time and the resident memory of it and its children, ten times a second.
 *
 * With `phase` the time is that of one phase, as the program's progress tells it.
 */
async function measure(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  phase?: string,
): Promise<Measured> {
  await execa('sync', []);
  const began = performance.now();
  const child = execa(command, args, { env, cwd: '/', stdin: 'ignore' });
  let peakKiB = 0;
  const timer = setInterval(() => {
    void peakOfTree(child.pid ?? 0).then((found) => {
      peakKiB = Math.max(peakKiB, found);
    });
  }, 100);
  const phases = new Map<string, number>();
  try {
    for await (const line of child.iterable({ from: 'stderr' })) {
      const told = /"phase":"([^"]*)"/.exec(line)?.[1];
      if (told !== undefined && !phases.has(told)) phases.set(told, performance.now());
    }
    await child;
  } finally {
    clearInterval(timer);
  }
  const from = phase === undefined ? began : (phases.get(phase) ?? Number.NaN);
  const next = phase === undefined ? performance.now() : [...phases.values()].find((at) => at > from);
  return { seconds: ((next ?? Number.NaN) - from) / 1000, peakMiB: peakKiB / 1024 };
}

async function peakOfTree(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const isServer = /^Name:\s+postgres$/m.test(status);
  const own = isServer ? 0 : Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const below = await Promise.all(
    children
      .split(' ')
      .filter(Boolean)
      .map(async (child) => await peakOfTree(Number(child))),
  );
  return Math.max(own, ...below);
}

async function compare(
  work: string,
  reach: string,
  ours: () => Promise<Measured>,
  theirs: () => Promise<Measured>,
): Promise<void> {
  const pairs: { ours: Measured; theirs: Measured }[] = [];
  await ours();
  await theirs();
  for (let run = 0; run < runs; run += 1) pairs.push({ ours: await ours(), theirs: await theirs() });
  say(`${work}`);
  say(
    `  ours        ${middle(pairs.map((pair) => pair.ours.seconds))} s, peak ${Math.max(...pairs.map((pair) => pair.ours.peakMiB)).toFixed(0)} MiB`,
  );
  say(
    `  pgBackRest  ${middle(pairs.map((pair) => pair.theirs.seconds))} s, peak ${Math.max(...pairs.map((pair) => pair.theirs.peakMiB)).toFixed(0)} MiB`,
  );
  say(`  ratio       ${middle(pairs.map((pair) => pair.ours.seconds / pair.theirs.seconds))}   (to reach: ${reach})`);
}

/** Fills a cluster with rows of which about 4 of 5 bytes compress away, or none. */
async function fill(server: TestCluster, kind: 'well' | 'badly'): Promise<void> {
  const rows = Math.round((gigabytes * 1024 ** 3) / 1050);
  const filler =
    kind === 'well'
      ? `rpad(md5(i::text) || ' landscape activity of computer ' || i % 2000, 1000, md5((i % 97)::text))`
      : `(select string_agg(md5(random()::text || i || j), '') from generate_series(1, 31) j)`;
  await server.sql(
    `create unlogged table rows (id bigint, filler text); alter table rows alter filler set storage plain;`,
  );
  await server.sql(`insert into rows select i, ${filler} from generate_series(1, ${rows}) i;`);
  await server.sql('alter table rows set logged; vacuum freeze rows; checkpoint;');
}

const planSchema = z.object({ plan: z.object({ id: z.string() }) });

async function benchData(machine: Machine, kind: 'well' | 'badly'): Promise<void> {
  const server = await machine.createCluster(`bench-${kind}`, {
    segmentMiB: 16,
    settings: { fsync: 'on', shared_buffers: '256MB', max_wal_size: '2GB' },
  });
  const label = server.cluster.label;
  await server.start();
  const repo = join(machine.root, `pgbackrest-${kind}`);
  const home = join(machine.root, `home-${kind}`);
  for (const folder of [repo, home]) await mkdir(folder);
  await asRoot('chown', ['postgres', repo]);
  await writeFile(join(home, 'settings.yaml'), `destination: ${machine.destination}\nrestart-postgresql: true\n`);
  const ours = join(machine.runtime, 'bin', 'landscape-backup');
  const at = ['--home', home, '--cluster', label];
  await execa(ours, ['init', ...at], { env: machine.env, cwd: '/' });
  await fill(server, kind);
  const size = Number(await server.sql(`select sum(pg_database_size(oid)) from pg_database`)) / 1024 ** 3;
  say(
    `\n== ${kind} compressible data, ${size.toFixed(1)} GiB, ${availableParallelism()} cores, medians of ${runs} pairs (minimum to maximum)`,
  );
  const theirs = await pgbackrest(machine, server, repo, kind);
  await asOwner('pgbackrest', [...theirs, 'stanza-create']);

  await compare(
    'backup, zstd level 1, as many processes as cores',
    'at most 0.75',
    async () => await measure(ours, ['backup', ...at], machine.env),
    async () => await measure(...runAsOwner('pgbackrest', [...theirs, '--type=full', '--start-fast', 'backup']), {}),
  );

  const spare = await machine.createCluster(`spare-${kind}`, { segmentMiB: 16, settings: { fsync: 'on' } });
  const copy = ['restore', '--to', 'backup', '--discard-old', '--home', home, '--cluster', spare.cluster.label];
  const empty = join(machine.root, 'data', `theirs-${kind}`);
  await compare(
    'unpacking a backup into place, verified and durable (ours: that phase of the restore; theirs: their restore command)',
    'at most 0.9',
    async () => {
      const { stdout } = await execa(ours, [...copy, '--format', 'json'], { env: machine.env, cwd: '/' });
      const { plan } = planSchema.parse(JSON.parse(stdout));
      const confirmed = [...copy, `--confirm=${plan.id}`, '--format', 'json'];
      const measured = await measure(ours, confirmed, machine.env, 'unpacking the backup');
      await spare.stop('immediate');
      return measured;
    },
    async () => {
      await rm(empty, { recursive: true, force: true });
      await mkdir(empty, { mode: 0o700 });
      await asRoot('chown', ['postgres', empty]);
      return await measure(...runAsOwner('pgbackrest', [...theirs, `--pg1-path=${empty}`, 'restore']), {});
    },
  );
  await rm(empty, { recursive: true, force: true });
  await rm(spare.cluster.dataDirectory, { recursive: true, force: true });
  await server.stop('immediate');
  await rm(join(machine.root, 'data', `bench-${kind}`), { recursive: true, force: true });
  for (const name of await readdir(machine.destination)) await rm(join(machine.destination, name), { recursive: true });
  await rm(repo, { recursive: true });
}

/** Writes the peer's configuration and gives back the arguments that every call of it takes. */
async function pgbackrest(
  machine: Machine,
  server: TestCluster,
  repo: string,
  kind: string,
): Promise<readonly string[]> {
  const { dataDirectory, socketDirectory, port } = server.cluster;
  const [config, own] = [join(machine.root, `pgbackrest-${kind}.conf`), join(machine.root, 'log')];
  const lines = [
    '[global]',
    `repo1-path=${repo}`,
    'repo1-retention-full=2',
    'compress-type=zst',
    'compress-level=1',
    `process-max=${availableParallelism()}`,
    `lock-path=${own}`,
    `log-path=${own}`,
    `spool-path=${own}`,
    'log-level-console=error',
    'log-level-file=off',
    'archive-check=n',
    'archive-mode-check=n',
    `[bench-${kind}]`,
    `pg1-path=${dataDirectory}`,
    `pg1-socket-path=${socketDirectory}`,
    `pg1-port=${port}`,
    '',
  ];
  await writeFile(config, lines.join('\n'));
  return [`--config=${config}`, `--stanza=bench-${kind}`];
}

function runAsOwner(command: string, args: readonly string[]): [string, readonly string[]] {
  const isRoot = process.getuid?.() === 0;
  return isRoot
    ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--init-groups', command, ...args]]
    : [command, args];
}

async function asRoot(command: string, args: readonly string[]): Promise<void> {
  if (process.getuid?.() === 0) await execa(command, args);
}

const removeRuntime = await setup();
try {
  if (['', 'data'].includes(values.only)) await benchAllData();
  const part = values.only === 'wal' ? '' : values.only;
  // In a process of its own: it goes on as the clusters' owner.
  const wal = [
    join(import.meta.dirname, 'wal.ts'),
    '--segments',
    values.segments,
    '--runs',
    values.runs,
    '--only',
    part,
  ];
  if (values.only !== 'data') await execa(process.execPath, wal, { stdio: 'inherit' });
} finally {
  await removeRuntime();
}

async function benchAllData(): Promise<void> {
  const machine = await makeMachine();
  try {
    await benchData(machine, 'well');
    await benchData(machine, 'badly');
  } finally {
    await machine.destroy();
  }
}

// What a decision costs with many stored segments: no cluster takes part in it.
const decisions = [join(import.meta.dirname, 'decisions.ts'), '--runs', values.runs];
if (values.only === '' || values.only === 'wal') await execa(process.execPath, decisions, { stdio: 'inherit' });
