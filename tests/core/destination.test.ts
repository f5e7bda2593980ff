import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readDestination } from '../../src/core/destination.ts';

test.each([
  ['/srv/backup', '/srv/backup', 'file:///srv/backup'],
  ['/srv//backup/', '/srv/backup', 'file:///srv/backup'],
  ['file:///srv/backup/', '/srv/backup', 'file:///srv/backup'],
  ['file:///srv/with%20space', '/srv/with space', 'file:///srv/with%20space'],
  ['/srv/50%', '/srv/50%', 'file:///srv/50%25'],
  ['/srv/ä', '/srv/ä', 'file:///srv/%C3%A4'],
  ['/a:b//c', '/a:b/c', 'file:///a%3Ab/c'],
])('%s is the directory %s, shown as %s', (text, path, url) => {
  expect(readDestination(text)).toEqual({ kind: 'directory', path, url });
});

test('whatever is understood is understood the same from its own URL and its own path', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (text) => {
      const read = readDestination(`/${text}`);
      if (typeof read === 'string' || read.kind !== 'directory') return;
      expect(readDestination(read.url)).toEqual(read);
      expect(readDestination(read.path)).toEqual(read);
      expect(read.path).toMatch(/^\/[^/]/);
    }),
  );
});

test.each([
  ['sftp://backup@host/srv/x/', 'backup', 'host', 22, '/srv/x', 'sftp://backup@host/srv/x'],
  ['sftp://backup@HOST:22//srv', 'backup', 'host', 22, '/srv', 'sftp://backup@host/srv'],
  ['sftp://a.b@10.0.0.1:2222/a%20b', 'a.b', '10.0.0.1', 2222, '/a b', 'sftp://a.b@10.0.0.1:2222/a%20b'],
  ['sftp://u@[fd00::1]:99/x', 'u', 'fd00::1', 99, '/x', 'sftp://u@[fd00::1]:99/x'],
])('%s is the folder of a server', (text, user, host, port, path, url) => {
  const expected = { kind: 'sftp', user, host, port, path, url };

  expect(readDestination(text)).toEqual(expected);
  expect(readDestination(url)).toEqual(expected);
});

test.each([
  ['s3://bucket', 'bucket', '', 's3://bucket'],
  ['s3://bucket/', 'bucket', '', 's3://bucket'],
  ['s3://my.bucket-1//a/b/', 'my.bucket-1', 'a/b/', 's3://my.bucket-1/a/b'],
])('%s is the folder of a bucket', (text, bucket, prefix, url) => {
  expect(readDestination(text)).toEqual({ kind: 's3', bucket, prefix, url });
  expect(readDestination(url)).toEqual({ kind: 's3', bucket, prefix, url });
});

test.each([
  ['sftp://host/x', 'names no user'],
  ['sftp://@host/x', 'the user is empty'],
  ['sftp://u@/x', 'the host is empty'],
  ['sftp://u@host', 'names no directory'],
  ['sftp://u@host/', 'the root directory'],
  ['sftp://u@host/a/../b', 'may not hold . or ..'],
  ['sftp://u@host:0/x', 'from 1 to 65535'],
  ['sftp://u@host:ssh/x', 'from 1 to 65535'],
  ['sftp://u@ho_st/x', 'no name and no address'],
  ['sftp://u@fd00::1/x', 'stands in [ ]'],
  ['sftp://u@host/%zz', 'percent-encoding'],
  ['sftp://-oProxyCommand=x@host/x', 'no name of a user'],
  ['sftp://u:hunter22@host/x', 'holds a password'],
  ['s3://', 'names no bucket'],
  ['s3:///x', 'names no bucket'],
  ['s3://b', '3 to 255 letters'],
  ['s3://key:hunter22@host/x', 'holds credentials'],
  ['s3://bucket/a b', 'may hold letters'],
  ['s3://bucket/.a', 'begins with a dot'],
  ['SFTP://u@host/x', 'in lower case'],
  ['ftp://host/x', 'not ftp://'],
])('%s is refused: %s', (text, why) => {
  const said = readDestination(text);

  expect(said).toEqual(expect.stringContaining(why));
  expect(said).not.toContain('hunter22');
});
