import { optional, Wrong } from './optional-text.ts';
import type { Proxies } from './proxy.ts';
import { Secret } from './secret.ts';

/** How to get in at a destination on the network. What a destination does not need stays empty. */
export interface DestinationAccess {
  readonly sftp: SftpAccess;
  readonly s3: S3Access;
}

/** The access of a destination that needs none. */
export const noAccess: DestinationAccess = {
  sftp: { hostKeys: [], privateKey: undefined },
  s3: {
    endpoint: undefined,
    region: undefined,
    uriStyle: undefined,
    accessKey: undefined,
    secretKey: undefined,
    ca: undefined,
    proxies: undefined,
  },
};

/** The first option that an S3 store needs and that is empty. */
export function lackingForS3({ accessKey, secretKey, endpoint, region }: S3Access) {
  if (accessKey === undefined) return 's3-access-key';
  if (secretKey === undefined) return 's3-secret-key';
  return endpoint === undefined && region === undefined ? 's3-region' : undefined;
}

/** Tells whether two accesses are the same, secrets included. */
export function isSameAccess(one: DestinationAccess, other: DestinationAccess): boolean {
  const open = ({ sftp, s3 }: DestinationAccess) =>
    JSON.stringify([
      { ...sftp, privateKey: sftp.privateKey?.reveal() },
      { ...s3, accessKey: s3.accessKey?.reveal(), secretKey: s3.secretKey?.reveal() },
    ]);
  return open(one) === open(other);
}

export interface SftpAccess {
  /** The keys by which the server is known. None: it is refused, and the refusal says which one it offers. */
  readonly hostKeys: readonly HostKey[];
  /** The text of a private key; without one the unit makes its own. */
  readonly privateKey: Secret | undefined;
}

export interface HostKey {
  readonly type: string;
  readonly base64: string;
}

export interface S3Access {
  /** Where the store is; `undefined` is AWS. */
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
  readonly uriStyle: 'path' | 'host' | undefined;
  readonly accessKey: Secret | undefined;
  readonly secretKey: Secret | undefined;
  /** Certificates of authorities to be trusted besides the known ones, as PEM. */
  readonly ca: string | undefined;
  /** `undefined`: those of the environment count. */
  readonly proxies: Proxies | undefined;
}

const hostKeyTypes = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'ssh-rsa'];

export const hostKeysSchema = optional((text): readonly HostKey[] | Wrong => {
  const keys: HostKey[] = [];
  for (const line of text.split('\n').filter((each) => each.trim() !== '' && !each.startsWith('#'))) {
    // A line of known_hosts or ssh-keyscan has the host in front, a .pub file a comment behind.
    const words = line.trim().split(/\s+/);
    const at = words.findIndex((word) => hostKeyTypes.includes(word));
    const [type, base64] = at === -1 ? [] : words.slice(at, at + 2);
    if (type === undefined || base64 === undefined) return new Wrong(`a line names none of ${hostKeyTypes.join(', ')}`);
    if (!/^AAAA[A-Za-z0-9+/]{40,}={0,2}$/.test(base64)) return new Wrong(`what follows ${type} is no key`);
    keys.push({ type, base64 });
  }
  return keys.length > 0 ? keys : new Wrong('no line holds a key');
});

export const privateKeySchema = optional((given): Secret | Wrong => {
  const text = given.replaceAll('\r', '');
  const secret = new Secret(`${text}\n`);
  if (hasPassphrase(text)) return new Wrong('the key has a passphrase, and nobody is there to type it');
  if (/^-----BEGIN (OPENSSH |RSA |EC )?PRIVATE KEY-----\n[\s\S]+\n-----END \1?PRIVATE KEY-----$/.test(text))
    return secret;
  if (text.startsWith('ssh-')) return new Wrong('it is a public key');
  return new Wrong('it does not begin with -----BEGIN … PRIVATE KEY----- and end with -----END … PRIVATE KEY-----');
});

/** Each form of a key says in another way that a passphrase hides it; OpenSSH's names a cipher in its bytes. */
function hasPassphrase(text: string): boolean {
  if (/^(-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED)$/m.test(text)) return true;
  const [, body = ''] = /^-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=\s]+)\n-----END/.exec(text) ?? [];
  const start = 'openssh-key-v1\0\0\0\0';
  try {
    const bytes = atob(body.replaceAll(/\s/g, ''));
    return bytes.startsWith(start) && bytes.slice(start.length + 1, start.length + 5) !== 'none';
  } catch {
    return false; // No base64, which is said by whoever reads it.
  }
}

export const endpointSchema = optional((text): string | Wrong => {
  if (!URL.canParse(text) || !/^https?:\/\//.test(text)) return new Wrong('no URL such as https://s3.example.com');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return new Wrong('credentials belong in the options s3-access-key and s3-secret-key');
  }
  if (url.search !== '' || url.hash !== '') return new Wrong('it holds a ? or a #');
  if (url.pathname !== '/') return new Wrong('bucket and folder belong in the option destination');
  return url.origin;
});

export const regionSchema = optional((text): string | Wrong =>
  /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(text) ? text : new Wrong('a region is a word such as eu-central-1'),
);

export const uriStyleSchema = optional((text): 'path' | 'host' | Wrong =>
  text === 'path' || text === 'host' ? text : new Wrong('neither'),
);

export const s3KeySchema = optional((text): Secret | Wrong => {
  const secret = new Secret(text);
  return /^[\x21-\x7e]+$/.test(text) ? secret : new Wrong('it holds blanks or characters that no key has');
});

export const caSchema = optional((text): string | Wrong => {
  if (text.includes('PRIVATE KEY-----')) {
    void new Secret(text);
    return new Wrong('it holds a private key');
  }
  const whole = /^(?:[^-]*-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\s]+\n-----END CERTIFICATE-----\s*)+$/;
  return whole.test(text) ? `${text}\n` : new Wrong('it holds no whole certificate as PEM');
});
