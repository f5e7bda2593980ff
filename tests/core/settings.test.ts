import { describe, expect, test } from 'vitest';
import { isFailure, type Failure } from '../../src/core/failure.ts';
import { optionNames, options, parseSettings, readSchedule, type OptionName } from '../../src/core/settings.ts';

function refusal(raw: unknown): Failure {
  try {
    parseSettings(raw);
  } catch (error) {
    if (isFailure(error, 'settings')) return error;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(raw)}`);
}

test('what is left out has its default', () => {
  const expected = {
    destination: undefined,
    repository: undefined,
    walArchiving: true,
    archiveTimeoutSeconds: 60,
    compressionLevel: 1,
    backupSchedule: { expression: '0 2 * * *', zone: undefined },
    retentionCount: 7,
    retentionDays: 7,
    includeLogs: false,
    extraPaths: [],
    restartPostgresql: false,
    clusters: [],
  };

  expect(parseSettings({})).toEqual(expected);
  expect(parseSettings(undefined)).toEqual(expected);
});

test('every value is taken over', () => {
  expect(
    parseSettings({
      destination: '/srv/backup/',
      'wal-archiving': false,
      'archive-timeout': 0,
      'compression-level': 19,
      'backup-schedule': 'CRON_TZ=Europe/Berlin 30 1 * * 1-5',
      'retention-count': 1,
      'retention-days': 0,
      'include-logs': true,
      'extra-paths': '/etc/haproxy /srv/keys/\n/etc/haproxy\n',
      'restart-postgresql': true,
      clusters: ['15/main', '9.6/old'],
    }),
  ).toEqual({
    destination: { kind: 'directory', path: '/srv/backup', url: 'file:///srv/backup' },
    repository: undefined,
    walArchiving: false,
    archiveTimeoutSeconds: 0,
    compressionLevel: 19,
    backupSchedule: { expression: '30 1 * * 1-5', zone: 'Europe/Berlin' },
    retentionCount: 1,
    retentionDays: 0,
    includeLogs: true,
    extraPaths: ['/etc/haproxy', '/srv/keys'],
    restartPostgresql: true,
    clusters: ['15/main', '9.6/old'],
  });
});

const bad: Readonly<Record<OptionName, readonly unknown[]>> = {
  destination: [
    7,
    true,
    'srv/backup',
    './x',
    '/',
    'file://host/x',
    'file://x',
    '/a/../b',
    '/a/./b',
    's3://bucket/x',
    'sftp://h/x',
    '/a\0b',
    'file:///%zz',
    '/\ud800',
    ['/a'],
  ],
  repository: [7, 'x', 'ABCDEF0123456789abcdef0123456789', '0123', true],
  'wal-archiving': ['yes', 'true', 1, 0, null, ''],
  'archive-timeout': [-1, 86_401, 1.5, '60', '1m', null, true, Number.NaN],
  'compression-level': [0, 20, -1, 1.5, '3', 'fast', null],
  'backup-schedule': [
    '* * * *',
    '* * * * * *',
    '60 * * * *',
    '* 24 * * *',
    '0 0 30 2 *',
    '@daily',
    'every day',
    'CRON_TZ=Nowhere/Land 0 2 * * *',
    'CRON_TZ=UTC',
    5,
    true,
    'a b c d e',
  ],
  'retention-count': [0, -1, 10_001, 2.5, '7', null, 'all'],
  'retention-days': [-1, 36_501, 0.5, '7', null, 'forever'],
  'include-logs': ['yes', 'false', 1, null],
  'extra-paths': [
    7,
    true,
    ['/a'],
    'etc/x',
    '/',
    '//',
    '/a/../b',
    '/a/..',
    '/a/./b',
    '/a//b',
    '/a b',
    '/a,b c',
    '/a\0b',
  ],
  'restart-postgresql': ['no', 'false', 0, null],
  clusters: ['15/main', ['main'], ['15/'], ['/main'], ['15/a/b'], ['15/a b'], [15], {}, 7],
};

describe.each(optionNames)('the option %s', (name) => {
  test.each(bad[name].map((value) => [value]))('refuses %j and names option, value and rule', (value) => {
    const { message, hint } = refusal({ [name]: value });

    expect(message).toContain(`option ${name} is ${JSON.stringify(value ?? '')}, it must be ${options[name].rule}`);
    expect(hint).toContain(name);
  });
});

test.each([
  ['s3://bucket/x', 'not s3://'],
  ['file://host/x', 'names no host'],
  ['srv/backup', 'must be absolute'],
  ['/', 'root directory'],
])('the destination %s is told what exactly is wrong with it', (destination, why) => {
  expect(refusal({ destination }).message).toContain(why);
});

test('an option that we do not know is named, and so are those that we know', () => {
  const { message, hint } = refusal({ 'retention-weeks': 3 });

  expect(message).toContain('"retention-weeks"');
  for (const name of optionNames) expect(hint).toContain(name);
});

test.each([[[]], ['text'], [7]])('settings that are %j are no list of options', (raw) => {
  expect(refusal(raw).message).toContain('not a list');
});

test('an option with nothing behind it is empty where it may be, and not its default', () => {
  const settings = parseSettings({ destination: null, 'backup-schedule': null, 'extra-paths': null });

  expect([settings.destination, settings.backupSchedule, settings.extraPaths]).toEqual([undefined, undefined, []]);
});

test.each(['* * * * *', '0 2 * * *', '*/15 0-6,22 1,15 * MON', '0 0 29 2 *', 'CRON_TZ=America/New_York  0 2 * * *'])(
  'the schedule %s is one',
  (text) => {
    expect(readSchedule(text)).toBeTypeOf('object');
  },
);
