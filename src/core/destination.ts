/** Where bytes go, as the operator wrote it and as we understood it. */
export type Destination = DirectoryDestination | SftpDestination | S3Destination;

interface DirectoryDestination {
  readonly kind: 'directory';
  readonly path: string;
  /** As shown to people and compared: `file:///srv/backup`. */
  readonly url: string;
}

export interface SftpDestination {
  readonly kind: 'sftp';
  readonly user: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** `sftp://backup@host/srv/backup`, with the port where it is not 22. */
  readonly url: string;
}

export interface S3Destination {
  readonly kind: 's3';
  readonly bucket: string;
  /** What stands in front of every key: empty, or ending with a slash. */
  readonly prefix: string;
  /** `s3://bucket/prefix`; which store that is stands in the option `s3-endpoint`. */
  readonly url: string;
}

/**
 * Reads the option `destination`, or says which rule it breaks; what it says repeats no part that may be a password.
 *
 * `file:///srv/backup` and a bare absolute path mean the same directory; it is never created by reading it.
 */
export function readDestination(text: string): Destination | string {
  if (text.startsWith('file://')) return readFileUrl(text);
  if (text.startsWith('sftp://')) return readSftp(text.slice('sftp://'.length));
  if (text.startsWith('s3://')) return readS3(text.slice('s3://'.length));
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme !== undefined) {
    return `this version knows an absolute path, file:///…, sftp://… and s3://…, in lower case, not ${scheme}://`;
  }
  return readDirectory(text);
}

function readFileUrl(text: string): Destination | string {
  if (!text.startsWith('file:///')) return 'a file URL names no host: write file:///srv/backup';
  const path = decode(text.slice('file://'.length));
  return path === undefined ? brokenEncoding : readDirectory(path);
}

function readDirectory(path: string): Destination | string {
  if (!path.startsWith('/')) return 'the path must be absolute: /srv/backup or file:///srv/backup';
  const parts = readPath(path);
  if (typeof parts === 'string') return parts;
  return { kind: 'directory', path: `/${parts.join('/')}`, url: `file://${encodeParts(parts)}` };
}

const sftpForm = 'write sftp://user@host/srv/backup, or sftp://user@host:2222/srv/backup';

function readSftp(rest: string): Destination | string {
  const slash = rest.indexOf('/');
  if (slash === -1) return `it names no directory on the server: ${sftpForm}`;
  const authority = rest.slice(0, slash);
  const at = authority.lastIndexOf('@');
  if (at === -1) return `it names no user: ${sftpForm}`;
  const user = decode(authority.slice(0, at));
  if (user === undefined) return brokenEncoding;
  if (user === '') return `the user is empty: ${sftpForm}`;
  if (user.includes(':')) {
    return 'it holds a password, which belongs in no URL: this product signs in with the key of the option sftp-private-key, or with one of its own';
  }
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.@+$-]*$/.test(user)) return 'the user is no name of a user';
  const place = readHost(authority.slice(at + 1));
  if (typeof place === 'string') return place;
  const path = decode(rest.slice(slash));
  if (path === undefined) return brokenEncoding;
  const parts = readPath(path);
  if (typeof parts === 'string') return parts;
  const port = place.port === 22 ? '' : `:${place.port}`;
  const shownHost = place.host.includes(':') ? `[${place.host}]` : place.host;
  return {
    kind: 'sftp',
    user,
    ...place,
    path: `/${parts.join('/')}`,
    url: `sftp://${encodeURIComponent(user)}@${shownHost}${port}${encodeParts(parts)}`,
  };
}

function readHost(text: string): { readonly host: string; readonly port: number } | string {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*))(?::(.*))?$/.exec(text);
  const [, six, name = '', portText] = match ?? [];
  if (match === null || (six === undefined && portText?.includes(':') === true)) {
    return `the host is not understood: ${sftpForm}; an IPv6 address stands in [ ]`;
  }
  const host = (six ?? name).toLowerCase();
  if (host === '') return `the host is empty: ${sftpForm}`;
  if (six === undefined && !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(host)) {
    return 'the host is no name and no address';
  }
  if (portText === undefined) return { host, port: 22 };
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
  if (port < 1 || port > 65_535) return 'the port must be a number from 1 to 65535';
  return { host, port };
}

const s3Form = 'write s3://bucket or s3://bucket/folder';

function readS3(rest: string): Destination | string {
  const slash = rest.indexOf('/');
  const bucket = slash === -1 ? rest : rest.slice(0, slash);
  if (bucket === '') return `it names no bucket: ${s3Form}`;
  if (/[@:]/.test(bucket)) {
    return 'it holds credentials or a host, which do not belong in the URL: use the options s3-access-key, s3-secret-key and s3-endpoint';
  }
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(bucket)) {
    return `the bucket must be 3 to 255 letters, digits, dots and dashes: ${s3Form}`;
  }
  const parts = (slash === -1 ? '' : rest.slice(slash)).split('/').filter((part) => part !== '');
  if (parts.some((part) => !/^[A-Za-z0-9_@-][A-Za-z0-9._@-]*$/.test(part))) {
    return 'the folder in the bucket may hold letters, digits, . _ - @ and slashes, and no part that begins with a dot';
  }
  const path = parts.join('/');
  if (path.length > 200) return 'the folder in the bucket is longer than 200 characters';
  return {
    kind: 's3',
    bucket,
    prefix: path === '' ? '' : `${path}/`,
    url: `s3://${bucket}${path === '' ? '' : `/${path}`}`,
  };
}

const brokenEncoding = 'its percent-encoding is broken';

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** The parts of an absolute path, or which rule it breaks. */
function readPath(path: string): readonly string[] | string {
  if (!path.isWellFormed()) return 'the path is no valid text';
  if (path.includes('\0')) return 'the path holds a NUL byte';
  const parts = path.split('/').filter((part) => part !== '');
  if (parts.includes('..') || parts.includes('.')) return 'the path may not hold . or ..';
  if (parts.length === 0) return 'the root directory is no place for a repository';
  return parts;
}

function encodeParts(parts: readonly string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join('');
}
