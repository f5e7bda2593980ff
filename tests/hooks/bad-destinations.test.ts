import { expect, test } from 'vitest';
import { isSecretOption, optionNames, options } from '../../src/core/settings.ts';
import { charmWorld, type CharmWorld } from './charm-world.ts';

const app = 'landscape-backup';
const pem = (what: string, body: string) => `-----BEGIN ${what}-----\n${body}\n-----END ${what}-----`;
const planted = 'cGxhbnRlZA'.repeat(6);
const locked = Buffer.from(`openssh-key-v1\0\0\0\0\naes256-ctr\0\0\0\x06bcrypt${planted}`).toString('base64');
const aes = 'Proc-Type: 4,ENCRYPTED\n';

/** Every rule of every field of a destination on the network: what breaks it, and what is said of that. */
const bad: Readonly<Record<string, readonly (readonly [value: string, told: string])[]>> = {
  destination: [
    ['srv/backup', 'the path must be absolute: /srv/backup or file:///srv/backup'],
    [
      'ftp://host/srv',
      'this version knows an absolute path, file:///…, sftp://… and s3://…, in lower case, not ftp://',
    ],
    ['SFTP://a@host/srv', 'this version knows an absolute path, file:///…, sftp://… and s3://…, in lower case'],
    ['file://host/srv', 'a file URL names no host'],
    ['file:///srv/%zz', 'its percent-encoding is broken'],
    ['sftp://a@host', 'it names no directory on the server: write sftp://user@host/srv/backup'],
    ['sftp://host/srv', 'it names no user: write sftp://user@host/srv/backup'],
    ['sftp://@host/srv', 'the user is empty: write sftp://user@host/srv/backup'],
    ['sftp://a:planted@host/srv', 'it holds a password, which belongs in no URL'],
    ['sftp://a b@host/srv', 'the user is no name of a user'],
    ['sftp://%zz@host/srv', 'its percent-encoding is broken'],
    ['sftp://a@/srv', 'the host is empty: write sftp://user@host/srv/backup'],
    ['sftp://a@ho_st/srv', 'the host is no name and no address'],
    ['sftp://a@::1/srv', 'the host is not understood'],
    ['sftp://a@host:0/srv', 'the port must be a number from 1 to 65535'],
    ['sftp://a@host:65536/srv', 'the port must be a number from 1 to 65535'],
    ['sftp://a@host:ssh/srv', 'the port must be a number from 1 to 65535'],
    ['sftp://a@host/', 'the root directory is no place for a repository'],
    ['sftp://a@host/srv/../etc', 'the path may not hold . or ..'],
    ['sftp://a@host/%zz', 'its percent-encoding is broken'],
    ['s3://', 'it names no bucket: write s3://bucket or s3://bucket/folder'],
    ['s3://ab', 'the bucket must be 3 to 255 letters, digits, dots and dashes'],
    [
      's3://key:planted@bucket',
      'it holds credentials or a host, which do not belong in the URL: use the options s3-access-key',
    ],
    ['s3://key:plan/ted@bucket', 'it holds credentials or a host, which do not belong in the URL'],
    ['s3://store:9000/bucket', 'it holds credentials or a host, which do not belong in the URL'],
    [
      's3://bucket/a/../b',
      'the folder in the bucket may hold letters, digits, . _ - @ and slashes, and no part that begins',
    ],
    ['s3://bucket/a b', 'the folder in the bucket may hold letters, digits, . _ - @ and slashes'],
    [`s3://bucket/${'a'.repeat(201)}`, 'the folder in the bucket is longer than 200 characters'],
  ],
  'sftp-host-key': [
    ['host.example.com', 'a line names none of ssh-ed25519, ecdsa-sha2-nistp256'],
    ['ssh-dss AAAAB3NzaC1kc3MAAACBA', 'a line names none of ssh-ed25519'],
    ['ssh-ed25519 SHA256:abcdef', 'what follows ssh-ed25519 is no key'],
    ['ssh-ed25519', 'a line names none of'],
    ['# only a comment', 'no line holds a key'],
  ],
  'sftp-private-key': [
    [planted, 'it does not begin with -----BEGIN … PRIVATE KEY----- and end with -----END … PRIVATE KEY-----'],
    [`ssh-ed25519 ${planted}`, 'it is a public key'],
    [pem('PRIVATE KEY', planted).slice(0, -10), 'it does not begin with'],
    [pem('ENCRYPTED PRIVATE KEY', planted), 'the key has a passphrase, and nobody is there to type it'],
    [pem('OPENSSH PRIVATE KEY', locked), 'the key has a passphrase, and nobody is there to type it'],
    [pem('RSA PRIVATE KEY', aes + planted), 'the key has a passphrase, and nobody is there to type it'],
  ],
  's3-endpoint': [
    ['s3.example.com', 'no URL such as https://s3.example.com'],
    ['ftp://s3.example.com', 'no URL such as https://s3.example.com'],
    ['https://key:planted@s3.example.com', 'credentials belong in the options s3-access-key and s3-secret-key'],
    ['https://s3.example.com/bucket', 'bucket and folder belong in the option destination'],
    ['https://s3.example.com?a=b', 'it holds a ? or a #'],
  ],
  's3-region': [['eu central', 'a region is a word such as eu-central-1']],
  's3-uri-style': [['virtual', 'neither']],
  's3-access-key': [['planted key', 'it holds blanks or characters that no key has']],
  's3-secret-key': [
    ['planted\nkey', 'it holds blanks or characters that no key has'],
    ['plantéd-key', 'it holds blanks or characters that no key has'],
  ],
  's3-ca': [
    ['ISRG Root X1', 'it holds no whole certificate as PEM'],
    [pem('CERTIFICATE', planted).slice(0, -10), 'it holds no whole certificate as PEM'],
    [pem('PRIVATE KEY', `${planted}\n${planted.toLowerCase()}\n${planted.toUpperCase()}`), 'it holds a private key'],
  ],
};

test('every option of a destination on the network is tried here', () => {
  expect(Object.keys(bad)).toEqual(optionNames.filter((name) => /^(destination|sftp-.*|s3-.*)$/.test(name)));
});

/** What every unit says of these options, which changed nothing of what it keeps. */
async function refusal(config: Readonly<Record<string, string>>): Promise<string> {
  const world = await charmWorld({ landscape: 1 });
  const kept = () => world.model.unitsOf(app).map((unit) => keptOf(world, unit));
  const before = kept();
  world.model.config(app, config);
  await world.settle();
  expect(kept()).toEqual(before);
  const told = world.model.unitsOf(app).map((unit) => {
    const { status, message } = world.model.statusOf(unit);
    expect(JSON.stringify([world.model.logOf(unit), message])).not.toMatch(/planted|plan\/ted|plantéd|cGxhbnRlZA/i);
    return `${status}: ${message}`;
  });
  expect(new Set(told).size).toBe(1);
  return told[0] ?? '';
}

function keptOf({ machineOf }: CharmWorld, unit: string) {
  const { settings, credentials } = machineOf(unit);
  return { settings, credentials };
}

test.each(Object.entries(bad).flatMap(([name, rows]) => rows.map((row) => [name, ...row] as const)))(
  '%s=%j is told with its rule, what breaks it and the next step: %s',
  async (name, value, told) => {
    const status = await refusal({ [name]: value });

    const rule = Object.entries(options).find(([each]) => each === name)?.[1].rule ?? '';
    const hasSecret =
      isSecretOption(name) || /plan|PRIVATE/.test(value) || value.includes(planted) || value.includes(locked);
    const start = hasSecret
      ? `blocked: option ${name} is `
      : `blocked: option ${name} is ${JSON.stringify(value).slice(0, 200)}`;
    expect(status.startsWith(start), status).toBe(true);
    expect(status).toContain(`, it must be ${rule} (${told}`);
    expect(status).toContain(`. Next: juju config ${app} …; until then the last good options are in force`);
  },
);

const keys = { 's3-access-key': 'number-one', 's3-secret-key': 'number-two' };

test.each([
  ['keys', {}, 's3-access-key', 'an S3 store'],
  ['the secret key', { 's3-access-key': 'number-one', 's3-region': 'eu' }, 's3-secret-key', 'an S3 store'],
  ['the access key', { 's3-secret-key': 'number-two', 's3-endpoint': 'https://store' }, 's3-access-key', 'an S3 store'],
  ['a region at AWS', keys, 's3-region', 'an S3 store without s3-endpoint, which is AWS'],
])('a bucket without %s is told, and the old destination stays', async (_what, given, option, what) => {
  expect(await refusal({ destination: 's3://bucket', ...given })).toBe(
    `blocked: option ${option} is empty, and the destination is ${what}. Next: juju config ${app} ${option}=…; until then the last good options are in force`,
  );
});

test.each([
  ['keys', {}, 's3-access-key', 'an S3 store'],
  ['a region at AWS', keys, 's3-region', 'an S3 store without s3-endpoint, which is AWS'],
])('a second bucket without %s of its own is told, whatever the first has', async (_what, given, option, what) => {
  const own = Object.fromEntries(Object.entries(given).map(([name, value]) => [`destination-2-${name}`, value]));
  const first = { ...keys, 's3-region': 'eu' };
  expect(await refusal({ ...first, 'destination-2': 's3://bucket', ...own })).toBe(
    `blocked: option destination-2-${option} is empty, and the second destination is ${what}. Next: juju config ${app} destination-2-${option}=…; until then the last good options are in force`,
  );
});

test('a second destination in the first is told, and the options before it stay', async () => {
  const told = await refusal({ destination: '/srv/backup', 'destination-2': '/srv/backup/second' });
  expect(told).toMatch(/^blocked: option destination-2 is "file:...srv.backup.second", it must be another place than/);
});
