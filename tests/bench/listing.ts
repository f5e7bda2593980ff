/**
 * The part of `npm run bench` about what listing and planning take where very much is stored, with the requests to S3 counted;
 * it runs as the clusters' owner, in a process of its own.
 *
 *   LANDSCAPE_BACKUP_TEST_RUNTIME=<runtime> node tests/bench/listing.ts [--objects 100000] [--runs 3] [--on disk | sftp | s3]
 *
 * The cluster's WAL is moved ahead with `pg_resetwal`, as if it had written so many segments before; these lie there by name,
 * with one byte each, as nobody reads them.
 */
import { execa } from 'execa';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { segmentName } from '../../src/core/wal-name.ts';
import { walKey } from '../../src/repository/layout.ts';
import { bytesOf } from '../../src/repository/small-object.ts';
import { isFailure } from '../../src/core/failure.ts';
import { startHttpProxy, type HttpProxy } from '../doubles/http-proxy.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { onDisk, onS3, onSftp, type DestinationOptions } from '../setup/destinations.ts';
import { asOwner, becomeOwner } from '../setup/machine.ts';
import { middle } from './compare.ts';
import { say } from './measure.ts';

const { values } = parseArgs({
  options: {
    objects: { type: 'string', default: '100000' },
    runs: { type: 'string', default: '3' },
    on: { type: 'string', default: '' },
  },
});
const objects = Number(values.objects);
const runs = Number(values.runs);
const segmentSize = 1024 * 1024;
const atOnce = 32;

/** Stores one object for each segment that the cluster seems to have written. */
type Store = (key: string) => Promise<void>;

/** So they get into a folder of this machine, which a server there may show to others. */
function intoFolder(folder: string): Store {
  const made = new Set<string>();
  return async (key) => {
    const path = join(folder, key);
    if (!made.has(dirname(path))) await mkdir(dirname(path), { recursive: true });
    made.add(dirname(path));
    await writeFile(path, 'x');
  };
}

function intoStorage({ repository }: ArchivedCluster): Store {
  return async (key) => {
    await repository.storage.put(key, bytesOf('x')).catch((error: unknown) => {
      if (!isFailure(error, 'conflict')) throw error;
    });
  };
}

async function fill({ server, cluster, place }: ArchivedCluster, store: Store): Promise<void> {
  await server.stop();
  const ahead = segmentName(1, objects + 1, segmentSize);
  await asOwner(join(cluster.binaries, 'pg_resetwal'), ['-D', cluster.dataDirectory, '-l', ahead]);
  await server.start();
  let next = 1;
  const worker = async () => {
    while (next <= objects) {
      const number = next;
      next += 1;
      await store(walKey(place, segmentName(1, number, segmentSize)));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

async function time(archived: ArchivedCluster, requests: readonly string[] | undefined): Promise<void> {
  const { machine, cluster } = archived;
  const spare = await machine.createCluster('spare', { segmentMiB: 1 });
  const program = join(machine.runtime, 'bin', 'landscape-backup');
  const run = async (...args: readonly string[]) => await execa(program, args, { env: machine.env, cwd: '/' });
  await run('backup', '--cluster', cluster.label);
  const work = [
    ['list-backups', 'list-backups', '--cluster', cluster.label],
    ['status', 'status', '--cluster', cluster.label],
    ['plan of a prune', 'prune', '--cluster', cluster.label],
    ['plan of a restore to the end', 'restore', '--to', 'end', '--discard-old', '--cluster', spare.cluster.label],
  ] as const;
  for (const [what, ...args] of work) {
    const took: number[] = [];
    let asked = 0;
    for (let turn = 0; turn < runs; turn += 1) {
      const [before, began] = [requests?.length ?? 0, performance.now()];
      await run(...args);
      took.push((performance.now() - began) / 1000);
      asked = (requests?.length ?? 0) - before;
    }
    say(`  ${what.padEnd(30)}${middle(took)} s${requests === undefined ? '' : `, ${asked} requests`}`);
  }
}

async function bench(what: string, options: DestinationOptions, folder?: string, proxy?: HttpProxy): Promise<void> {
  const archived = await makeArchivedCluster({ destination: options });
  try {
    await fill(archived, folder === undefined ? intoStorage(archived) : intoFolder(folder));
    say(`${what}, ${objects} segments stored; the whole command, start included`);
    await time(archived, proxy?.requests);
  } finally {
    await archived.repository.storage.close();
    await archived.machine.destroy();
  }
}

const places = {
  disk: async () => {
    const disk = await onDisk();
    const options = await disk.add();
    await bench('a directory', options, new URL(options['destination'] ?? '').pathname);
    await disk.stop();
  },
  sftp: async () => {
    const server = await onSftp();
    const options = await server.add();
    await bench('SFTP', options, new URL(options['destination'] ?? '').pathname);
    await server.stop();
  },
  s3: async () => {
    const ceph = await onS3();
    const proxy = await startHttpProxy(ceph.port ?? 0);
    await bench('S3', await ceph.add(proxy.port), undefined, proxy);
    await proxy.stop();
    await ceph.stop();
  },
};

becomeOwner();
for (const [on, run] of Object.entries(places)) if (['', on].includes(values.on)) await run();
