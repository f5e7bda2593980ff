/**
 * `npm run bench`: backup and restore side by side with pgBackRest, on the same data and disk, in one run.
 *
 * Pairs run in turn (ours, theirs, ours, theirs …), so that a machine whose speed drifts drifts for both; what is told is the
 * ratio of each pair, as median with minimum and maximum. Nothing here fails a build.
 *
 *   npm run bench -- [--gigabytes 3] [--runs 3] [--segments 200] [--objects 100000]
 *     [--only data | wal | push | get | recovery | s3 | sftp | listing]
 */
import { execa } from 'execa';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { setup } from '../setup/global.ts';
import { asOwner, makeMachine, type Machine, type TestCluster } from '../setup/machine.ts';
import { comparePrograms, measure, say } from './measure.ts';
import { peerConfiguration } from './peer.ts';
import { fillRows } from './rows.ts';

const { values } = parseArgs({
  options: {
    gigabytes: { type: 'string', default: '3' },
    runs: { type: 'string', default: '3' },
    segments: { type: 'string', default: '200' },
    objects: { type: 'string', default: '100000' },
    only: { type: 'string', default: '' },
  },
});
const gigabytes = Number(values.gigabytes);
const runs = Number(values.runs);

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
  await fillRows(server, gigabytes, kind);
  const size = Number(await server.sql(`select sum(pg_database_size(oid)) from pg_database`)) / 1024 ** 3;
  say(
    `\n== ${kind} compressible data, ${size.toFixed(1)} GiB, ${availableParallelism()} cores, medians of ${runs} pairs (minimum to maximum)`,
  );
  const theirs = await pgbackrest(machine, server, repo, kind);
  await asOwner('pgbackrest', [...theirs, 'stanza-create']);

  await comparePrograms(
    'backup, zstd level 1, as many processes as cores',
    'at most 0.75',
    runs,
    async () => await measure(ours, ['backup', ...at], machine.env),
    'pgBackRest',
    async () => await measure(...runAsOwner('pgbackrest', [...theirs, '--type=full', '--start-fast', 'backup']), {}),
  );

  const spare = await machine.createCluster(`spare-${kind}`, { segmentMiB: 16, settings: { fsync: 'on' } });
  const copy = ['restore', '--to', 'backup', '--discard-old', '--home', home, '--cluster', spare.cluster.label];
  const empty = join(machine.root, 'data', `theirs-${kind}`);
  await comparePrograms(
    'unpacking a backup into place, verified and durable (ours: that phase of the restore; theirs: their restore command)',
    'at most 0.9',
    runs,
    async () => {
      const { stdout } = await execa(ours, [...copy, '--format', 'json'], { env: machine.env, cwd: '/' });
      const { plan } = planSchema.parse(JSON.parse(stdout));
      const confirmed = [...copy, `--confirm=${plan.id}`, '--format', 'json'];
      const measured = await measure(ours, confirmed, machine.env, 'unpacking the backup');
      await spare.stop('immediate');
      return measured;
    },
    'pgBackRest',
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
  const configuration = peerConfiguration({
    repo: [`repo1-path=${repo}`, 'repo1-retention-full=2'],
    own,
    stanza: `bench-${kind}`,
    dataDirectory,
    more: ['archive-check=n'],
    server: [`pg1-socket-path=${socketDirectory}`, `pg1-port=${port}`],
  });
  await writeFile(config, configuration);
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

/** A part that is a process of its own: most go on as the clusters' owner. */
async function part(program: string, args: readonly string[], flags: readonly string[] = []): Promise<void> {
  const all = [...flags, join(import.meta.dirname, program), ...args, '--runs', values.runs];
  await execa(process.execPath, all, { stdio: 'inherit' });
}

/** The flags of Node that our commands run with, for a part that moves bytes in its own process. */
async function commandFlags(): Promise<readonly string[]> {
  const front = await readFile(join(import.meta.dirname, '..', '..', 'charm', 'bin', 'landscape-backup'), 'utf8');
  return [...front.matchAll(/ (--[a-z-]+(?:=\d+)?)(?= )/g)].map(([, flag]) => flag ?? '');
}

const { only } = values;
const removeRuntime = await setup();
try {
  if (['', 'data'].includes(only)) await benchAllData();
  if (['', 'wal', 'push', 'get', 'recovery'].includes(only))
    await part('wal.ts', ['--segments', values.segments, '--only', only === 'wal' ? '' : only]);
  if (['', 's3'].includes(only)) await part('s3.ts', ['--segments', values.segments]);
  if (['', 'sftp'].includes(only)) await part('sftp.ts', ['--segments', values.segments], await commandFlags());
  if (['', 'listing'].includes(only)) await part('listing.ts', ['--objects', values.objects]);
  // What a decision costs with many stored segments: no cluster takes part in it.
  if (['', 'wal'].includes(only)) await part('decisions.ts', []);
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
