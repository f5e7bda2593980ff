import { expect, test } from 'vitest';
import { asksForStandby, readSystemIdentifier, unitOfServer } from '../../src/core/server-files.ts';

test.for([
  ["standby_mode = 'on'\n", true],
  ['standby_mode on', true],
  ["restore_command = 'x'\n  STANDBY_MODE='T'\n", true],
  ["standby_mode = 'on'\nstandby_mode = 'off'\n", false],
  ["#standby_mode = 'on'\n", false],
  ["restore_command = 'standby_mode = on'\n", false],
  ['', false],
] as const)('recovery.conf with %j asks for a standby: %s', ([text, expected]) => {
  expect(asksForStandby(text)).toBe(expected);
});

test('the system identifier is the first number of pg_control, and a file that is cut off has none', () => {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(7_000_000_000_000_000_001n);

  expect(readSystemIdentifier(bytes)).toBe('7000000000000000001');
  expect(() => readSystemIdentifier(bytes.subarray(0, 7))).toThrow('pg_control is cut off');
});

test.for([
  [
    '/usr/lib/postgresql/15/bin/postgres "-D" "/d" "-c" "config_file=/etc/postgresql/15/main/postgresql.conf"',
    '15-main',
  ],
  ['/usr/lib/postgresql/9.6/bin/postgres "-D" "/d" "-c" "config_file=/x/9.6/a-b/postgresql.conf"', '9.6-a-b'],
  ['/usr/lib/postgresql/15/bin/postgres "-D" "/d" "--config-file=/etc/postgresql/15/main/postgresql.conf"', '15-main'],
  ['/usr/lib/postgresql/15/bin/postgres "-D" "/var/lib/postgresql/15/main"', undefined],
  ['postgres "-c" "config_file=/var/snap/x/postgresql.conf"', undefined],
] as const)('a server started by %s is %s', ([options, unit]) => {
  expect(unitOfServer(options)).toBe(unit);
});
