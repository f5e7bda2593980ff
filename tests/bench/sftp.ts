/**
 * The part of `npm run bench` about SFTP; it runs as the clusters' owner, in a process of its own.
 *
 * pgBackRest 2.45 has no SFTP, so the others are OpenSSH's `sftp` with the same bytes, and what an administrator would do by
 * hand: `pg_basebackup` or `zstd` and then `sftp`, durable; `sftp`, `tar` and a sync on the way back. Nothing by hand is
 * compared with a digest or a manifest.
 *
 *   LANDSCAPE_BACKUP_TEST_RUNTIME=<runtime> node tests/bench/sftp.ts [--gigabytes 0.5] [--segments 200] [--runs 3]
 */
import { execa } from 'execa';
import { createReadStream } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Storage } from '../../src/storage/storage.ts';
import { openDestination } from '../setup/destinations.ts';
import { becomeOwner } from '../setup/machine.ts';
import { startSshd, type Sshd } from '../setup/sshd.ts';
import { benchBase, reach } from './base.ts';
import { compareRuns, type Side } from './compare.ts';
import { measure, say, type Measured } from './measure.ts';
import { drainOurs, prepareWal } from './waiting-wal.ts';

const { values } = parseArgs({
  options: {
    gigabytes: { type: 'string', default: '0.5' },
    segments: { type: 'string', default: '200' },
    runs: { type: 'string', default: '3' },
  },
});
const gigabytes = Number(values.gigabytes);
const runs = Number(values.runs);
const objectMiB = 256;

let times = 0;

/** OpenSSH's own client, in shell scripts: `$put <what> <where>` and `$get <what> <where>`. */
class ByHand {
  readonly #server: Sshd;
  readonly #own: string;

  constructor(server: Sshd, own: string) {
    this.#server = server;
    this.#own = own;
  }

  async make(): Promise<void> {
    await mkdir(this.#own);
    await writeFile(join(this.#own, 'key'), this.#server.privateKey, { mode: 0o600 });
  }

  /** Runs a script with an empty folder `$work` and `$remote`, which is a new name on the server each time. */
  async run(script: string, remote = `${this.#server.folder}/by-hand-${(times += 1)}`): Promise<Measured> {
    const url = new URL(this.#server.destination(this.#server.folder).url);
    const work = join(this.#own, 'work');
    await rm(work, { recursive: true, force: true });
    await mkdir(work);
    const trust = '-oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -oLogLevel=ERROR';
    const how = `-q -b - -P ${url.port} -i ${join(this.#own, 'key')} ${trust}`;
    const ask = `sftp ${how} ${url.username}@${url.hostname} >/dev/null`;
    const before = ['set -e', `put() { echo "put -fR $1 $2" | ${ask}; }`, `get() { echo "get -R $1 $2" | ${ask}; }`];
    return await measure('sh', ['-c', [...before, script].join('\n')], { work, remote, PATH: '/usr/bin:/bin' });
  }
}

/** One object of noise there and back. */
async function benchTransfer(server: Sshd): Promise<void> {
  const own = join(server.folder, '..', 'bench-transfer');
  const byHand = new ByHand(server, own);
  await byHand.make();
  const noise = join(own, 'noise');
  await execa('sh', ['-c', `head -c ${objectMiB}M /dev/urandom >${noise}`]);
  await mkdir(join(server.folder, 'objects'));
  const storage = await openDestination(server.options(join(server.folder, 'objects')), own);
  let stored = 0;
  const seconds = async (work: () => Promise<void>) => {
    const began = performance.now();
    await work();
    return (performance.now() - began) / 1000;
  };
  const store = async () => {
    await storage.put(`object-${(stored += 1)}`, createReadStream(noise, { highWaterMark: 1024 * 1024 }));
  };
  const sides = (ours: () => Promise<void>, script: string, remote?: string): readonly [Side, Side] => [
    { name: 'ours', run: async () => await seconds(ours) },
    { name: 'sftp', run: async () => (await byHand.run(script, remote)).seconds },
  ];
  const what = `SFTP: an object of ${objectMiB} MiB`;
  await compareRuns(`${what} stored, seconds`, reach, runs, ...sides(store, `put ${noise} $remote`));
  const object = join(server.folder, 'objects', 'object-1');
  await compareRuns(
    `${what} fetched, seconds`,
    reach,
    runs,
    ...sides(async () => await fetchObject(storage), 'get $remote $work/got', object),
  );
  await storage.close();
}

async function fetchObject(storage: Storage): Promise<void> {
  for await (const _chunk of await storage.get('object-1'));
}

async function benchBackups(server: Sshd): Promise<void> {
  const folder = join(server.folder, 'base');
  await mkdir(folder);
  await benchBase('SFTP', server.options(folder), { gigabytes, runs }, async ({ machine, cluster }) => {
    const byHand = new ByHand(server, join(machine.root, 'peer'));
    await byHand.make();
    const from = `-h ${cluster.socketDirectory} -p ${cluster.port}`;
    const take = `${cluster.binaries}/pg_basebackup ${from} -D $work/backup -Ft -Z server-zstd:1 -X fetch -c fast`;
    const whole = `${take}\nput $work/backup $remote`;
    const kept = `${server.folder}/kept`;
    await byHand.run(whole, kept);
    const unpack = 'mkdir $work/data\ntar -x --zstd -f $work/backup/base.tar.zst -C $work/data\nsync -f $work/data';
    return {
      name: 'by hand',
      backup: async () => await byHand.run(whole),
      unpack: async () => await byHand.run(`get $remote $work/backup\n${unpack}`, kept),
    };
  });
}

async function benchDrain(server: Sshd): Promise<void> {
  const folder = join(server.folder, 'wal');
  await mkdir(folder);
  const bench = await prepareWal(Number(values.segments), server.options(folder));
  try {
    const byHand = new ByHand(server, join(bench.archived.machine.root, 'peer'));
    await byHand.make();
    const script = `zstd -q -1 -T0 --output-dir-flat $work ${bench.plain}/*\nput $work $remote`;
    await compareRuns(
      `SFTP: drain ${bench.names.length} ready segments, seconds`,
      reach,
      runs,
      { name: 'ours', run: async () => (await drainOurs(bench)).seconds },
      { name: 'zstd and sftp', run: async () => (await byHand.run(script)).seconds },
    );
  } finally {
    await bench.archived.repository.storage.close();
    await bench.archived.machine.destroy();
  }
}

becomeOwner();
say(`\n== SFTP: ${gigabytes} GiB well compressible, medians of ${runs} pairs (minimum to maximum)`);
const server = await startSshd();
try {
  await benchTransfer(server);
  await benchBackups(server);
  await benchDrain(server);
} finally {
  await server.stop();
}
