import { execa } from 'execa';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { S3Access } from '../../src/core/destination-access.ts';
import { parseSettings } from '../../src/core/settings.ts';
import { freePort } from './sshd.ts';
import { acceptsConnections } from './wait.ts';

/** A real Ceph with its S3 gateway, in memory and on loopback. */
export interface Ceph {
  readonly port: number;
  /** The options of the settings file that get in, in clear. */
  readonly options: Readonly<Record<string, string>>;
  /** The options that get in by TLS, with a certificate authority of its own. */
  readonly tlsOptions: Readonly<Record<string, string>>;
  /** The file with that authority's certificate. */
  readonly authorityFile: string;
  /** How to get in, through a proxy where a port is given, with other options where there are some. */
  access(more?: Readonly<Record<string, string>>, port?: number): S3Access;
  /** Runs an administrator's program on it. */
  admin(...args: readonly string[]): Promise<string>;
  /** Stops the gateway; `resume` starts it again at the same port. */
  halt(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

const accessKey = 'landscapebackuptest';
const secretKey = 'a-secret-that-no-log-may-show';
const daemons = ['mon.', 'client.admin', 'client.rgw', 'mgr.x', 'osd.0'];

/** Starts one, in about 15 seconds. Its packages come with `npm run test:long`. */
export async function startCeph(): Promise<Ceph> {
  const root = await mkdtemp(join(tmpdir(), 'lb-ceph-'));
  await chmod(root, 0o755);
  for (const folder of ['run', 'log', 'mon', 'mgr', 'osd', 'tls']) await mkdir(join(root, folder));
  const [monitor, port, tlsPort] = [await freePort(), await freePort(), await freePort()];
  await makeCertificates(join(root, 'tls'));
  const fsid = crypto.randomUUID();
  await writeFile(join(root, 'ceph.conf'), configuration(root, { fsid, monitor, port, tlsPort }));
  const env = { CEPH_CONF: join(root, 'ceph.conf') };
  const run = async (program: string, ...args: readonly string[]) =>
    (await execa(program, args, { env, cwd: root, timeout: 60_000, stdin: 'ignore' })).stdout;
  const running: { kill: () => void; ended: Promise<unknown> }[] = [];
  const start = (program: string, ...args: readonly string[]) => {
    const child = execa(program, [...args, '-f'], { env, cwd: root, reject: false, stdio: 'ignore', cleanup: true });
    const started = { kill: () => child.kill('SIGKILL'), ended: child };
    running.push(started);
    return started;
  };
  const startGateway = () => start('radosgw', '-n', 'client.rgw');
  const stop = async () => {
    for (const each of running.toReversed()) each.kill();
    await Promise.all(running.map(({ ended }) => ended));
    await rm(root, { recursive: true, force: true });
  };
  let gateway: ReturnType<typeof start> | undefined;
  try {
    await run('ceph-authtool', '--create-keyring', 'keyring');
    for (const name of daemons) {
      const caps = ['mon', 'osd', 'mgr'].flatMap((kind) => ['--cap', kind, 'allow *']);
      await run('ceph-authtool', 'keyring', '--gen-key', '-n', name, ...caps);
    }
    await run('monmaptool', '--create', '--fsid', fsid, '--addv', 'a', `[v2:127.0.0.1:${monitor}]`, 'monmap');
    await run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', 'monmap', '--keyring', 'keyring');
    start('ceph-mon', '-i', 'a');
    start('ceph-mgr', '-i', 'x');
    await run('ceph', 'osd', 'create');
    await run('ceph-osd', '-i', '0', '--mkfs');
    start('ceph-osd', '-i', '0');
    gateway = startGateway();
    const keys = [`--access-key=${accessKey}`, `--secret=${secretKey}`];
    await run('radosgw-admin', 'user', 'create', '--uid=test', '--display-name=test', ...keys);
    await acceptsConnections(port, 60);
  } catch (error) {
    await stop();
    throw error;
  }
  const keys = { 's3-access-key': accessKey, 's3-secret-key': secretKey };
  const options = { ...keys, 's3-endpoint': `http://127.0.0.1:${port}` };
  const authorityFile = join(root, 'tls', 'ca.pem');
  const ca = await readFile(authorityFile, 'utf8');
  return {
    port,
    options,
    tlsOptions: { ...keys, 's3-endpoint': `https://127.0.0.1:${tlsPort}`, 's3-ca': ca },
    authorityFile,
    access: (more = {}, through = port) =>
      parseSettings({ ...options, 's3-endpoint': `http://127.0.0.1:${through}`, ...more }).access.s3,
    admin: async (program, ...args) => await run(program ?? 'ceph', ...args),
    halt: async () => {
      gateway?.kill();
      await gateway?.ended;
    },
    resume: async () => {
      gateway = startGateway();
      await acceptsConnections(port, 60);
    },
    stop,
  };
}

interface Ports {
  readonly fsid: string;
  readonly monitor: number;
  readonly port: number;
  readonly tlsPort: number;
}

function configuration(root: string, { fsid, monitor, port, tlsPort }: Ports): string {
  const tls = `ssl_certificate=${root}/tls/server.pem ssl_private_key=${root}/tls/server.key`;
  return `[global]
fsid=${fsid}
mon host=v2:127.0.0.1:${monitor}
osd pool default size=1
osd pool default min size=1
osd pool default pg num=4
osd crush chooseleaf type=0
mon allow pool size one=true
osd objectstore=memstore
memstore device bytes=4294967296
run dir=${root}/run
admin socket=${root}/run/$name.asok
pid file=${root}/run/$name.pid
log file=${root}/log/$name.log
keyring=${root}/keyring
mon data=${root}/mon
mgr data=${root}/mgr
osd data=${root}/osd
rgw frontends=beast endpoint=127.0.0.1:${port} ssl_endpoint=127.0.0.1:${tlsPort} ${tls}
`;
}

/** A certificate authority of our own and a certificate for 127.0.0.1 by it. */
async function makeCertificates(folder: string): Promise<void> {
  const openssl = async (...args: readonly string[]) => {
    await execa('openssl', args, { cwd: folder, stdin: 'ignore' });
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'];
  await openssl('req', '-x509', ...key, '-subj', '/CN=test authority', '-keyout', 'ca.key', '-out', 'ca.pem');
  const extension = [
    '-addext',
    'subjectAltName=IP:127.0.0.1,DNS:localhost',
    '-addext',
    'basicConstraints=critical,CA:FALSE',
  ];
  const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key'];
  await openssl(
    'req',
    '-x509',
    ...key,
    ...by,
    ...extension,
    '-subj',
    '/CN=server',
    '-keyout',
    'server.key',
    '-out',
    'server.pem',
  );
}
