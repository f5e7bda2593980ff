/**
 * The part of `npm run bench` about S3; it runs as the clusters' owner, in a process of its own.
 *
 * Backup, unpacking and draining WAL side by side with pgBackRest through the same gateway of a real Ceph, by TLS with a
 * certificate authority of its own; plain, and encrypted by both. The gateway works on the same cores as its clients.
 *
 *   LANDSCAPE_BACKUP_TEST_RUNTIME=<runtime> node tests/bench/s3.ts [--gigabytes 0.5] [--segments 200] [--runs 3]
 */
import { execa } from 'execa';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { encryptionOptions, newAgeKey } from '../setup/age.ts';
import type { ArchivedCluster } from '../setup/archived-cluster.ts';
import { startCeph, type Ceph } from '../setup/ceph.ts';
import type { DestinationOptions } from '../setup/destinations.ts';
import { becomeOwner } from '../setup/machine.ts';
import { makeBucket } from '../storage/s3-site.ts';
import { benchBase, reach, type Theirs } from './base.ts';
import { compareRuns } from './compare.ts';
import { measure, say } from './measure.ts';
import { Peer, peerConfiguration } from './peer.ts';
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

/** pgBackRest's options for the same gateway; each number is a folder of its own. */
function peerRepo(ceph: Ceph, authority: string, cipher: boolean): (made: number) => readonly string[] {
  const endpoint = new URL(ceph.tlsOptions['s3-endpoint'] ?? '');
  return (made) => [
    'repo1-type=s3',
    `repo1-path=/peer-${made}`,
    'repo1-s3-bucket=backups',
    // It compares names alone, so that the certificate carries one beside the address.
    'repo1-s3-endpoint=localhost',
    'repo1-s3-region=us-east-1',
    'repo1-s3-uri-style=path',
    `repo1-s3-key=${ceph.options['s3-access-key'] ?? ''}`,
    `repo1-s3-key-secret=${ceph.options['s3-secret-key'] ?? ''}`,
    'repo1-storage-host=localhost',
    `repo1-storage-port=${endpoint.port}`,
    `repo1-storage-ca-file=${authority}`,
    ...(cipher ? ['repo1-cipher-type=aes-256-cbc', 'repo1-cipher-pass=bench'] : []),
  ];
}

async function pgBackRest(archived: ArchivedCluster, repo: readonly string[]): Promise<Theirs> {
  const { machine, cluster } = archived;
  const own = join(machine.root, 'peer');
  const target = join(machine.root, 'data', 'theirs');
  await mkdir(own);
  const configuration = peerConfiguration({
    repo: [...repo, 'repo1-retention-full=2'],
    own,
    stanza: 'bench',
    dataDirectory: cluster.dataDirectory,
    more: ['archive-check=n'],
    server: [`pg1-socket-path=${cluster.socketDirectory}`, `pg1-port=${cluster.port}`],
  });
  await writeFile(join(own, 'config'), configuration);
  const args = [`--config=${join(own, 'config')}`, '--stanza=bench'];
  await execa('pgbackrest', [...args, 'stanza-create'], { cwd: '/' });
  return {
    name: 'pgBackRest',
    backup: async () => await measure('pgbackrest', [...args, '--type=full', '--start-fast', 'backup'], {}),
    unpack: async () => {
      await rm(target, { recursive: true, force: true });
      await mkdir(target, { mode: 0o700 });
      return await measure('pgbackrest', [...args, `--pg1-path=${target}`, 'restore'], {});
    },
  };
}

async function benchS3(isEncrypted: boolean): Promise<void> {
  const what = `S3 by TLS${isEncrypted ? ', encrypted' : ''}`;
  const key = newAgeKey();
  const encryption = isEncrypted ? encryptionOptions([key], [key]) : {};
  // A gateway for each: it keeps in memory what is removed.
  await withCeph(async (ceph, options, authority) => {
    const repo = peerRepo(ceph, authority, isEncrypted);
    const prepare = async (archived: ArchivedCluster) => await pgBackRest(archived, repo(0));
    await benchBase(what, { ...options, ...encryption }, { gigabytes, runs }, prepare);
  });
  await withCeph(async (ceph, options, authority) => {
    const bench = await prepareWal(Number(values.segments), { ...options, ...encryption });
    try {
      const peer = new Peer(bench, peerRepo(ceph, authority, isEncrypted));
      const ours = { name: 'ours', run: async () => (await drainOurs(bench)).seconds };
      const theirs = { name: 'pgBackRest async', run: async () => (await peer.drain()).seconds };
      // One pair that is not counted: a gateway takes a fifth longer for whoever comes first.
      for (const side of [ours, theirs]) await side.run();
      await compareRuns(`${what}: drain ${bench.names.length} ready segments, seconds`, reach, runs, ours, theirs);
    } finally {
      await bench.archived.repository.storage.close();
      await bench.archived.machine.destroy();
    }
  });
}

async function withCeph(
  work: (ceph: Ceph, options: DestinationOptions, authority: string) => Promise<void>,
): Promise<void> {
  const ceph = await startCeph();
  try {
    (await makeBucket(ceph, 'backups')).destroy();
    await work(ceph, { destination: 's3://backups/ours', ...ceph.tlsOptions }, ceph.authorityFile);
  } finally {
    await ceph.stop();
  }
}

becomeOwner();
say(`\n== S3: ${gigabytes} GiB well compressible, medians of ${runs} pairs (minimum to maximum)`);
await benchS3(false);
await benchS3(true);
