import { describe, expect, test } from 'vitest';
import { readDatabases, readEndpoints } from '../../src/core/landscape-endpoints.ts';
import {
  decodeValue,
  formatServiceConfiguration,
  parseServiceConfiguration,
  valuesOf,
} from '../../src/core/service-configuration.ts';

const old = `# made by setup
[stores]
host = 10.1.2.3:5432
user: landscape
password = b64:c2VjcmV0
main = landscape-standalone-main
account-1 = landscape-standalone-account-1
session = landscape-standalone-session
session-autocommit = landscape-standalone-session?isolation=autocommit

; comments stay
[global]
root-url = https://landscape.example.com/%(instance)s
[landscape]
stores = main
  account-1
  # between

  session
`;

describe('service.conf', () => {
  test.each([
    ['its lines', old],
    ['Windows line ends', old.replaceAll('\n', '\r\n')],
    ['no end of its last line', old.trimEnd()],
    ['nothing in it', ''],
  ])('with %s is written as it was read', (_what, text) => {
    expect(formatServiceConfiguration(parseServiceConfiguration(text))).toBe(text);
  });

  test('is read with old and new names alike, without interpolation', () => {
    const values = valuesOf(parseServiceConfiguration(old));

    expect(values.get('system.root_url')).toBe('https://landscape.example.com/%(instance)s');
    expect(values.get('appserver.stores')).toBe('main\naccount-1\n\nsession');
    expect(values.get('stores.account_1')).toBe('landscape-standalone-account-1');
    expect(decodeValue(values.get('stores.password') ?? '')).toBe('secret');
    expect(decodeValue('b64:%%%')).toBe('b64:%%%');
  });

  test.each([
    ['a key twice', '[stores]\nhost = a\nHost = b\n', 'line 3 of service.conf', 'after line 2'],
    ['a key in two spellings', '[api]\nroot-url = a\nroot_url = b\n', 'line 3', 'api.root_url again'],
    ['a key in an old and a new section', '[global]\na = 1\n[system]\na = 2\n', 'line 4', 'system.a again'],
    ['a section twice', '[stores]\nhost = a\n[stores]\n', 'line 3', 'section [stores] again'],
    ['a line that is nothing', '[stores]\nhost\n', 'line 2', 'neither a section nor a key'],
    ['a broken section', '[stores\nhost = a\n', 'line 1', 'no whole name'],
    ['a section with more behind it', '[stores] = x\n', 'line 1', 'no whole name'],
    ['a key before all sections', 'host = a\n', 'line 1', 'before the first section'],
    ['a control character', '[stores]\nhost = a\u000bb\n', 'line 2', 'control character'],
  ])('with %s is refused, and the line is named', (_what, text, ...said) => {
    for (const part of said) expect(() => parseServiceConfiguration(text)).toThrow(part);
  });

  test('never shows what a line holds', () => {
    expect(() => parseServiceConfiguration('[stores]\npassword secret-token-1\n')).not.toThrow('secret-token-1');
  });

  test('tells databases and endpoints, and no password', () => {
    const configuration = parseServiceConfiguration(
      `${old}\n[broker]\nhost = amqp://landscape:hunter2@10.9.9.9\nport = 5672\n[package-search]\nhost = localhost\n`,
    );

    expect(readDatabases(configuration)).toEqual([
      'landscape-standalone-account-1',
      'landscape-standalone-main',
      'landscape-standalone-session',
    ]);
    expect(readEndpoints(configuration)).toEqual({
      database: '10.1.2.3:5432',
      broker: '10.9.9.9:5672',
      packageSearch: 'localhost',
    });
  });
});
