import { createHash } from 'node:crypto';
import ssh2, { type Client, type ConnectConfig, type ServerHostKeyAlgorithm, type SFTPWrapper } from 'ssh2';
import type { HostKey } from '../core/destination-access.ts';
import type { SftpDestination } from '../core/destination.ts';
import { Failure } from '../core/failure.ts';
import type { SigningKey } from './sftp-key.ts';

export interface SftpTarget {
  readonly destination: SftpDestination;
  readonly hostKeys: readonly HostKey[];
  readonly key: SigningKey;
}

const longestConnectMs = 20_000;
const aliveMs = 10_000;

/** What a client is while it is being made: the server's key as it was offered, and whether it was the right one. */
interface Offer {
  offered?: HostKey;
}

/** Signs in at an SFTP server whose key is one of the pinned ones. Nothing is sent to any other. */
export async function connectSftp(target: SftpTarget, limitMs: number): Promise<{ client: Client; sftp: SFTPWrapper }> {
  const client = new ssh2.Client();
  const offer: Offer = {};
  try {
    await signIn(client, target, { offer, connectMs: Math.min(limitMs, longestConnectMs) });
    const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
      client.once('error', reject).once('close', () => reject(new Error('the connection was closed')));
      client.sftp((error, made) => (error === undefined ? resolve(made) : reject(error)));
    });
    return { client, sftp };
  } catch (error) {
    client.on('error', () => undefined); // It is given up; what else it has to say changes nothing.
    client.destroy();
    throw connectFailure(error, target, offer);
  }
}

async function signIn(
  client: Client,
  { destination, hostKeys, key }: SftpTarget,
  { offer, connectMs }: { readonly offer: Offer; readonly connectMs: number },
): Promise<void> {
  const { host, port, user } = destination;
  const config: ConnectConfig = {
    host,
    port,
    username: user,
    privateKey: key.secret.reveal(),
    authHandler: ['publickey'],
    readyTimeout: connectMs,
    keepaliveInterval: aliveMs,
    keepaliveCountMax: 3,
    hostVerifier: (blob: Buffer): boolean => {
      offer.offered = { type: blob.toString('latin1', 4, 4 + blob.readUInt32BE(0)), base64: blob.toString('base64') };
      return hostKeys.some(({ base64 }) => base64 === blob.toString('base64'));
    },
    algorithms: {
      // The quickest here, measured: AES is in the processor, ChaCha20 would be computed in WebAssembly.
      cipher: [
        'aes128-gcm@openssh.com',
        'aes256-gcm@openssh.com',
        'aes128-ctr',
        'aes256-ctr',
        'chacha20-poly1305@openssh.com',
      ],
      ...(hostKeys.length === 0 ? {} : { serverHostKey: hostKeys.flatMap(algorithmsOf) }),
    },
  };
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve).once('error', reject);
    client.once('close', () => reject(new Error('the connection was closed')));
    client.connect(config);
    // Without it every answer waits 40 ms for the last request's acknowledgement, measured.
    client.setNoDelay(true);
  });
  client.removeAllListeners();
}

/** A server signs with what it is asked for; asked for another kind of key it would offer one that is not pinned. */
function algorithmsOf({ type }: HostKey): ServerHostKeyAlgorithm[] {
  switch (type) {
    case 'ssh-ed25519':
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
      return [type];
    default:
      return ['rsa-sha2-512', 'rsa-sha2-256'];
  }
}

function connectFailure(error: unknown, target: SftpTarget, { offered }: Offer): Failure {
  if (error instanceof Failure) return error;
  const { destination, hostKeys, key } = target;
  const where = `the SFTP server ${destination.host}:${destination.port}`;
  const text = error instanceof Error ? error.message : String(error);
  const isPinned = hostKeys.some(({ base64 }) => base64 === offered?.base64);
  if (offered !== undefined && !isPinned) return unknownHost(where, offered, hostKeys.length > 0);
  if (levelOf(error) === 'client-authentication') {
    return new Failure('refused', `${where} does not let the user ${destination.user} in with our key`, {
      hint: `Add this line to ~${destination.user}/.ssh/authorized_keys there: ${key.publicLine}`,
    });
  }
  if (text.includes('no matching')) {
    const pinned = [...new Set(hostKeys.map(({ type }) => type))].join(', ');
    return new Failure('refused', `${where} and this product have no common way to speak: ${text}`, {
      hint: `Does it have a host key of the kind that the option sftp-host-key names (${pinned})? ssh-keyscan -p ${destination.port} ${destination.host}`,
    });
  }
  if (text.includes('subsystem')) {
    return new Failure('refused', `${where} lets the user ${destination.user} in, but offers no SFTP`, {
      hint: 'Turn it on in its sshd_config: Subsystem sftp internal-sftp',
    });
  }
  return new Failure('unavailable', `${where} could not be reached: ${text}`, {
    hint: 'Is it up, and may this machine reach it? What waits is kept and tried again.',
    cause: error,
  });
}

function unknownHost(where: string, { type, base64 }: HostKey, isOther: boolean): Failure {
  const print = createHash('sha256').update(Buffer.from(base64, 'base64')).digest('base64').replaceAll('=', '');
  const offers = `it offers ${type} ${base64} (SHA256:${print})`;
  const what = isOther
    ? `${where} is not the one that the option sftp-host-key names: ${offers}`
    : `${where} is not known, because the option sftp-host-key is empty: ${offers}`;
  const compare = `Compare it with what its administrator sees there: for F in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $F; done. Only if it is the same, set sftp-host-key: "${type} ${base64}"`;
  return new Failure('refused', what, { hint: isOther ? `Somebody may stand in between. ${compare}` : compare });
}

function levelOf(error: unknown): unknown {
  return error instanceof Error && 'level' in error ? error.level : undefined;
}
