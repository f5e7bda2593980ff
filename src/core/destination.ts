/** Where bytes go, as the operator wrote it and as we understood it. */
export interface Destination {
  readonly kind: 'directory';
  readonly path: string;
  /** As shown to people and compared: `file:///srv/backup`. */
  readonly url: string;
}

/**
 * Reads the option `destination`, or says which rule it breaks.
 *
 * `file:///srv/backup` and a bare absolute path mean the same directory; it is never created by reading it.
 */
export function readDestination(text: string): Destination | string {
  if (text.startsWith('file://')) {
    if (!text.startsWith('file:///')) return 'a file URL names no host: write file:///srv/backup';
    let path: string;
    try {
      path = decodeURIComponent(text.slice('file://'.length));
    } catch {
      return 'its percent-encoding is broken';
    }
    return readDirectory(path);
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme !== undefined) return `this version knows file:///… and an absolute path, not ${scheme}://`;
  return readDirectory(text);
}

function readDirectory(path: string): Destination | string {
  if (!path.startsWith('/')) return 'the path must be absolute: /srv/backup or file:///srv/backup';
  if (!path.isWellFormed()) return 'the path is no valid text';
  if (path.includes('\0')) return 'the path holds a NUL byte';
  const parts = path.split('/').filter((part) => part !== '');
  if (parts.includes('..') || parts.includes('.')) return 'the path may not hold . or ..';
  if (parts.length === 0) return 'the root directory is no place for a repository';
  const clean = `/${parts.join('/')}`;
  return {
    kind: 'directory',
    path: clean,
    url: `file://${parts.map((part) => `/${encodeURIComponent(part)}`).join('')}`,
  };
}
