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
      if (typeof read === 'string') return;
      expect(readDestination(read.url)).toEqual(read);
      expect(readDestination(read.path)).toEqual(read);
      expect(read.path).toMatch(/^\/[^/]/);
    }),
  );
});
