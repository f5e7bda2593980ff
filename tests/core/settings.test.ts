import { describe, expect, test } from 'vitest';
import { noEncryption } from '../../src/core/encryption.ts';
import { newAgeKey } from '../setup/age.ts';
import { noAccess } from '../../src/core/destination-access.ts';
import { inspect } from 'node:util';
import { Failure, isFailure, toFailure } from '../../src/core/failure.ts';
import {
  isSecretOption,
  optionNames,
  options,
  parseSettings,
  readSchedule,
  type OptionName,
} from '../../src/core/settings.ts';

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
    access: noAccess,
    encryption: noEncryption,
    repository: undefined,
    walArchiving: true,
    walMethod: 'archive',
    archiveTimeoutSeconds: 60,
    compressionLevel: 1,
    backupSchedule: { expression: '0 2 * * *', zone: undefined },
    retentionCount: 7,
    retentionDays: 7,
    includeLogs: false,
    extraPaths: [],
    restartPostgresql: false,
    uploadBytesPerSecond: undefined,
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
      'wal-method': 'stream',
      'archive-timeout': 0,
      'compression-level': 19,
      'backup-schedule': 'CRON_TZ=Europe/Berlin 30 1 * * 1-5',
      'retention-count': 1,
      'retention-days': 0,
      'include-logs': true,
      'extra-paths': '/etc/haproxy /srv/keys/\n/etc/haproxy\n',
      'restart-postgresql': true,
      'upload-limit': 20,
      clusters: ['15/main', '9.6/old'],
    }),
  ).toEqual({
    destination: { kind: 'directory', path: '/srv/backup', url: 'file:///srv/backup' },
    access: noAccess,
    encryption: noEncryption,
    repository: undefined,
    walArchiving: false,
    walMethod: 'stream',
    archiveTimeoutSeconds: 0,
    compressionLevel: 19,
    backupSchedule: { expression: '30 1 * * 1-5', zone: 'Europe/Berlin' },
    retentionCount: 1,
    retentionDays: 0,
    includeLogs: true,
    extraPaths: ['/etc/haproxy', '/srv/keys'],
    restartPostgresql: true,
    uploadBytesPerSecond: 20_000_000,
    clusters: ['15/main', '9.6/old'],
  });
});

const key = newAgeKey();
const badPlace = {
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
    's3://b/x',
    'sftp://h/x',
    '/a\0b',
    'file:///%zz',
    '/\ud800',
    ['/a'],
  ],
  'sftp-host-key': [7, 'x', 'ssh-ed25519', 'ssh-ed25519 AAAA', 'ssh-dss AAAAB3NzaC1kc3MAAACBA', true],
  'sftp-private-key': [7, 'hunter22', 'ssh-ed25519 hunter22', '-----BEGIN PRIVATE KEY-----\nhunter22\n', true],
  's3-endpoint': [7, 'x', 's3.example.com', 'ftp://x', 'https://x/bucket', 'https://x?y'],
  's3-region': [7, 'a b', '-x', 'ä', true],
  's3-uri-style': [7, 'virtual', 'Path', true],
  's3-access-key': [7, 'hunter22 x', 'ä', true],
  's3-secret-key': [7, 'hunter22\nx', 'hunter22 x', true],
  's3-ca': [7, 'x', '-----BEGIN CERTIFICATE-----'],
};
const bad: Readonly<Record<OptionName, readonly unknown[]>> = {
  ...badPlace,
  'destination-2': badPlace.destination,
  'destination-2-sftp-host-key': badPlace['sftp-host-key'],
  'destination-2-sftp-private-key': badPlace['sftp-private-key'],
  'destination-2-s3-endpoint': badPlace['s3-endpoint'],
  'destination-2-s3-region': badPlace['s3-region'],
  'destination-2-s3-uri-style': badPlace['s3-uri-style'],
  'destination-2-s3-access-key': badPlace['s3-access-key'],
  'destination-2-s3-secret-key': badPlace['s3-secret-key'],
  'destination-2-s3-ca': badPlace['s3-ca'],
  'encryption-recipients': [
    7,
    'x',
    'age1',
    key.recipient.slice(0, -1),
    key.recipient.toUpperCase(),
    'ssh-ed25519 AAAA',
  ],
  'encryption-confirmed': [7, 'x', key.recipient, key.fingerprint.toUpperCase()],
  'encryption-identity': [7, 'hunter22', key.recipient, key.identity.toLowerCase(), `${key.identity} x`],
  'http-proxy': [7, 'ftp://hunter22', 'http://hunter22/path', 'http://', true],
  'https-proxy': [7, 'socks5://hunter22:1080', 'http://hunter22?x', true],
  'no-proxy': [7, 'http://host', true],
  repository: [7, 'x', 'ABCDEF0123456789abcdef0123456789', '0123', true],
  'wal-archiving': ['yes', 'true', 1, 0, null, ''],
  'wal-method': ['', 'both', 'Stream', true, 1, null],
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
  'upload-limit': [-1, 100_001, 0.5, '20', '', '20M', null, true],
  clusters: ['15/main', ['main'], ['15/'], ['/main'], ['15/a/b'], ['15/a b'], [15], {}, 7],
};

describe.each(optionNames)('the option %s', (name) => {
  test.each(bad[name].map((value) => [value]))('refuses %j and names option, value and rule', (value) => {
    const { message, hint } = refusal({ [name]: value });

    const shown = isSecretOption(name) ? '(secret)' : JSON.stringify(value ?? '');
    expect(message).toContain(`option ${name} is ${shown}, it must be ${options[name].rule}`);
    expect(hint).toContain(name);
  });
});

test.each([
  ['s3://b/x', '3 to 255 letters'],
  ['file://host/x', 'names no host'],
  ['srv/backup', 'must be absolute'],
  ['/', 'root directory'],
])('the destination %s is told what exactly is wrong with it', (destination, why) => {
  expect(refusal({ destination }).message).toContain(why);
});

test.each<[OptionName, string]>([
  ['destination', 'sftp://u:hunter22@h/x'],
  ['destination', 's3://key:hunter22@bucket/x'],
  ['s3-endpoint', 'https://u:hunter22@x'],
  ['s3-ca', '-----BEGIN PRIVATE KEY-----\nhunter22\n-----END PRIVATE KEY-----'],
  ['sftp-private-key', 'hunter22'],
  ['s3-access-key', 'hunter22 x'],
  ['s3-secret-key', 'hunter22\nx'],
  ['encryption-identity', 'AGE-SECRET-KEY-1HUNTER22 hunter22'],
])('what may be a secret in a wrong %s is not repeated', (name, value) => {
  const { message, hint } = refusal({ [name]: value });

  expect(`${message} ${hint ?? ''}`).not.toContain('hunter22');
});

test('how to get in is taken over, and secrets show themselves to nobody who prints them', () => {
  const key = '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----';
  const { access } = parseSettings({
    'sftp-host-key': '[h]:22 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAMUTssP33mz04ppOe4+wiOutfqA72LJdf7Iblg4FzyM root@h\n',
    'sftp-private-key': `${key}\n`,
    's3-endpoint': 'https://s3.example.com:8443/',
    's3-region': 'eu-central-1',
    's3-uri-style': 'host',
    's3-access-key': 'AKIAEXAMPLE',
    's3-secret-key': 'planted/secret+1',
  });

  expect(access.sftp.hostKeys).toEqual([
    { type: 'ssh-ed25519', base64: 'AAAAC3NzaC1lZDI1NTE5AAAAIAMUTssP33mz04ppOe4+wiOutfqA72LJdf7Iblg4FzyM' },
  ]);
  expect(access.s3).toMatchObject({
    endpoint: 'https://s3.example.com:8443',
    region: 'eu-central-1',
    uriStyle: 'host',
  });
  expect([access.sftp.privateKey?.reveal(), access.s3.secretKey?.reveal()]).toEqual([`${key}\n`, 'planted/secret+1']);
  const printed = `${JSON.stringify(access)} ${inspect(access, { depth: 9 })} ${String(access.s3.secretKey)}`;
  for (const secret of ['b3BlbnNzaC1rZXk', 'AKIAEXAMPLE', 'planted/secret+1']) expect(printed).not.toContain(secret);
});

test.each([
  ['/srv/backup', '/srv/backup'],
  ['/srv/backup', '/srv/backup/second'],
  ['/srv/backup/first', 'file:///srv/backup'],
  ['sftp://a@h/srv', 'sftp://a@h/srv'],
  ['s3://bucket', 's3://bucket/folder'],
])('beside the destination %s the second destination %s is refused: it is no other place', (first, second) => {
  const { message } = refusal({ destination: first, 'destination-2': second });

  expect(message).toContain('it must be another place than the option destination');
});

test('the second destination has an access of its own, and nothing of the first lets in there', () => {
  const { second } = parseSettings({
    destination: 's3://bucket',
    's3-access-key': 'first',
    's3-endpoint': 'https://one.example.com',
    'destination-2': 's3://bucket',
    'destination-2-s3-endpoint': 'https://two.example.com',
    'destination-2-s3-secret-key': 'planted/secret+3',
    'https-proxy': 'http://proxy:3128',
  });

  expect(second?.destination.url).toBe('s3://bucket');
  expect(second?.access.s3).toMatchObject({ endpoint: 'https://two.example.com', accessKey: undefined });
  expect(second?.access.s3.secretKey?.reveal()).toBe('planted/secret+3');
  expect(second?.access.s3.proxies?.https).toBeDefined();
  expect(inspect(second, { depth: 9 })).not.toContain('planted/secret+3');
});

test('without a destination, or without a second, there is no second', () => {
  expect(parseSettings({ 'destination-2': '/srv/two' }).second).toBeUndefined();
  expect(parseSettings({ destination: '/srv/one' }).second).toBeUndefined();
});

test('a secret that once was read stands in no failure, wherever its text came from', () => {
  parseSettings({ 's3-secret-key': 'planted/secret+2' });

  const failures = [
    toFailure(new Error('signed with planted/secret+2')),
    new Failure('internal', 'GET /?k=planted%2Fsecret%2B2', { hint: 'use planted/secret+2 again' }),
    new Failure('unavailable', 'the proxy http://user:geheim@proxy:3128 says no'),
  ];

  for (const { message, hint } of failures) expect(`${message} ${hint ?? ''}`).not.toMatch(/planted|geheim/);
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

describe('encryption', () => {
  const [one, two] = [newAgeKey(), newAgeKey()];

  test('recipients, once each, what was compared, and identities among comments are taken over', () => {
    const { encryption } = parseSettings({
      'encryption-recipients': `${one.recipient}\n ${two.recipient}, ${one.recipient}`,
      'encryption-confirmed': `${one.fingerprint} ${two.fingerprint}`,
      'encryption-identity': `${one.file}\r\n\n${one.identity}\n${two.file}`,
    });

    expect(encryption.recipients.map(({ text }) => text)).toEqual([one.recipient, two.recipient]);
    expect(encryption.identities.map((each) => each.reveal())).toEqual([one.identity, two.identity]);
    expect(`${JSON.stringify(encryption)} ${inspect(encryption, { depth: 9 })}`).not.toContain('AGE-SECRET');
  });

  test('a recipient that nobody compared is refused with what to compare, unless an identity is at hand to try', () => {
    const given = {
      'encryption-recipients': `${one.recipient} ${two.recipient}`,
      'encryption-confirmed': one.fingerprint,
    };
    const { message, hint } = refusal(given);

    expect(message).toContain(two.recipient);
    expect(message).not.toContain(one.recipient);
    // All that the option is to be: who follows it does not take the other one out.
    expect(hint).toContain(`encryption-confirmed to: ${one.fingerprint} ${two.fingerprint}`);
    expect(parseSettings({ ...given, 'encryption-identity': two.identity }).encryption.recipients).toHaveLength(2);
  });

  test('an identity where a recipient belongs is told as that, and not repeated', () => {
    const { message, hint } = refusal({ 'encryption-recipients': two.identity });

    expect(message).toContain('is an identity');
    expect(`${message} ${hint ?? ''}`).not.toContain(two.identity.slice(20));
  });

  test('more recipients than fit in front of an object are refused', () => {
    const many = Array.from({ length: 21 }, () => newAgeKey().recipient).join(' ');

    expect(refusal({ 'encryption-recipients': many }).message).toContain('at most 20');
  });
});
