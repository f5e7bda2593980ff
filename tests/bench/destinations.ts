/**
 * The part of `npm run bench` about destinations over a network; it runs as the clusters' owner, in a process of its own.
 *
 * S3: backup, unpacking and draining WAL side by side with pgBackRest through the same gateway of a real Ceph, by TLS with a
 * certificate authority of its own; plain, and encrypted by both. SFTP: the same beside OpenSSH's `sftp`, which only moves the
 * bytes that ours has stored before (pgBackRest 2.45 has no SFTP). The servers work on the same cores as their clients.
 *
 *   LANDSCAPE_BACKUP_TEST_RUNTIME=<runtime> node tests/bench/destinations.ts [--gigabytes 0.5] [--segments 40] [--runs 3]
 *     [--only s3 | sftp]
 */
import { execa } from 'execa';
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { layout } from '../../src/repository/layout.ts';
import { encryptionOptions, newAgeKey } from '../setup/age.ts';
import { makeArchivedCluster, type ArchivedCluster } from '../setup/archived-cluster.ts';
import { startCeph, type Ceph } from '../setup/ceph.ts';
import type { DestinationOptions } from '../setup/destinations.ts';
import { becomeOwner } from '../setup/machine.ts';
import { startSshd, type Sshd } from '../setup/sshd.ts';
import { makeBucket } from '../storage/s3-site.ts';
import { compareRuns } from './compare.ts';
import { comparePrograms, measure, say, type Measured } from './measure.ts';
import { Peer, peerConfiguration } from './peer.ts';
import { fillRows } from './rows.ts';
import { drainOurs, prepareWal } from './waiting-wal.ts';

const { values } = parseArgs({
  options: {
    gigabytes: { type: 'string', default: '0.5' },
    segments: { type: 'string', default: '40' },
    runs: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
  },
});
const gigabytes = Number(values.gigabytes);
const segments = Number(values.segments);
const runs = Number(values.runs);
const reach = 'at most 1';

/** Who ours is compared with, on one destination. */
interface Theirs {
  readonly name: string;
  backup(archived: ArchivedCluster): Promise<Measured>;
  unpack(archived: ArchivedCluster): Promise<Measured>;
}

const planSchema = z.object({ plan: z.object({ id: z.string() }) });

async function benchBase(what: string, options: DestinationOptions, prepare: Prepare): Promise<void> {
  const archived = await makeArchivedCluster({
    segmentMiB: 16,
    destination: options,
    settings: { shared_buffers: '256MB', max_wal_size: '2GB' },
  });
  try {
    const { machine, server, cluster } = archived;
    await fillRows(server, gigabytes, 'well');
    const program = join(machine.runtime, 'bin', 'landscape-backup');
    const backup = async () => await measure(program, ['backup', '--cluster', cluster.label], machine.env);
    await backup();
    const theirs = await prepare(archived);
    await comparePrograms(
      `${what}: backup`,
      reach,
      runs,
      backup,
      theirs.name,
      async () => await theirs.backup(archived),
    );

    const spare = await machine.createCluster('spare', { segmentMiB: 16 });
    const copy = ['restore', '--to', 'backup', '--discard-old', '--cluster', spare.cluster.label, '--format', 'json'];
    const unpack = async () => {
      const { stdout } = await execa(program, copy, { env: machine.env, cwd: '/' });
      const { plan } = planSchema.parse(JSON.parse(stdout));
      const measured = await measure(program, [...copy, `--confirm=${plan.id}`], machine.env, 'unpacking the backup');
      await spare.stop('immediate');
      return measured;
    };
    const fetched = async () => await theirs.unpack(archived);
    await comparePrograms(`${what}: unpacking a backup`, reach, runs, unpack, theirs.name, fetched);
  } finally {
    await archived.repository.storage.close();
    await archived.machine.destroy();
  }
}

type Prepare = (archived: ArchivedCluster) => Promise<Theirs>;

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
    await benchBase(what, { ...options, ...encryption }, async (archived) => await pgBackRest(archived, repo(0)));
  });
  await withCeph(async (ceph, options, authority) => {
    const bench = await prepareWal(segments, { ...options, ...encryption });
    try {
      const peer = new Peer(bench, peerRepo(ceph, authority, isEncrypted));
      await compareRuns(
        `${what}: drain ${bench.names.length} ready segments, seconds`,
        reach,
        runs,
        { name: 'ours', run: async () => (await drainOurs(bench)).seconds },
        { name: 'pgBackRest async', run: async () => (await peer.drain()).seconds },
      );
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

/** OpenSSH's own client, which moves folders that ours has made. */
class OpenSsh {
  readonly #server: Sshd;
  readonly #own: string;
  #moved = 0;

  constructor(server: Sshd, own: string) {
    this.#server = server;
    this.#own = own;
  }

  async make(): Promise<void> {
    await mkdir(this.#own);
    await writeFile(join(this.#own, 'key'), this.#server.privateKey, { mode: 0o600 });
  }

  /** Stores a folder, each file durable; into a new place each time. */
  async put(folder: string): Promise<Measured> {
    return await this.#batch(`put -fR ${folder} ${this.#server.folder}/theirs-${(this.#moved += 1)}`);
  }

  async get(folder: string): Promise<Measured> {
    const into = join(this.#own, `got-${(this.#moved += 1)}`);
    const measured = await this.#batch(`get -fR ${folder} ${into}`);
    await rm(into, { recursive: true });
    return measured;
  }

  async #batch(command: string): Promise<Measured> {
    const file = join(this.#own, 'batch');
    await writeFile(file, `${command}\n`);
    const url = new URL(this.#server.destination(this.#server.folder).url);
    const trust = ['-oStrictHostKeyChecking=no', '-oUserKnownHostsFile=/dev/null', '-oLogLevel=ERROR'];
    const how = ['-q', '-b', file, '-P', url.port, '-i', join(this.#own, 'key'), ...trust];
    return await measure('sftp', [...how, `${url.username}@${url.hostname}`], {});
  }
}

async function benchSftp(): Promise<void> {
  const server = await startSshd();
  try {
    const [base, wal] = [join(server.folder, 'base'), join(server.folder, 'wal')];
    for (const folder of [base, wal]) await mkdir(folder);
    await benchBase('SFTP, the same bytes', server.options(base), async (archived) => {
      const peer = new OpenSsh(server, join(archived.machine.root, 'peer'));
      await peer.make();
      const backups = join(base, layout.base(archived.place));
      const [first = ''] = await readdir(backups);
      const copy = join(archived.machine.root, 'stored');
      await cp(join(backups, first), copy, { recursive: true });
      return {
        name: 'sftp',
        backup: async () => await peer.put(copy),
        unpack: async () => await peer.get(join(backups, first)),
      };
    });
    await benchSftpDrain(server, wal);
  } finally {
    await server.stop();
  }
}

async function benchSftpDrain(server: Sshd, wal: string): Promise<void> {
  const bench = await prepareWal(segments, server.options(wal));
  try {
    const { archived, names } = bench;
    const peer = new OpenSsh(server, join(archived.machine.root, 'peer'));
    await peer.make();
    await drainOurs(bench);
    const copy = join(archived.machine.root, 'stored');
    await cp(join(wal, layout.wal(archived.place)), copy, { recursive: true });
    await compareRuns(
      `SFTP, the same bytes: drain ${names.length} ready segments, seconds`,
      reach,
      runs,
      { name: 'ours', run: async () => (await drainOurs(bench)).seconds },
      { name: 'sftp', run: async () => (await peer.put(copy)).seconds },
    );
  } finally {
    await bench.archived.repository.storage.close();
    await bench.archived.machine.destroy();
  }
}

becomeOwner();
if (values.only !== 'sftp') {
  say(`\n== destinations: ${gigabytes} GiB well compressible, medians of ${runs} pairs (minimum to maximum)`);
  await benchS3(false);
  await benchS3(true);
}
if (values.only !== 's3') await benchSftp();
