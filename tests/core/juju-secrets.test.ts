import { describe, expect, test } from 'vitest';
import { secretUris, withSecrets, type SecretAnswer } from '../../src/core/juju-secrets.ts';

const uri = 'secret:d0a1b2c3d4e5f6g7h8i9';
const reader = { application: 'lb', jujuVersion: '3.6.27' };

describe('an option that names a secret', () => {
  test.each([uri, ` ${uri}\n`, `secret://00000000-0000-4000-8000-000000000001/${uri.slice(7)}`])(
    'gets the value of the key of its own name: %j',
    (value) => {
      const config = { 's3-secret-key': value, 's3-access-key': 'in the open', destination: uri };
      const [asked = '', ...more] = secretUris(config, '3.3.0');
      const answers = new Map<string, SecretAnswer>([
        [asked, { is: 'content', content: { 's3-secret-key': 'hidden', 's3-access-key': 'another' } }],
      ]);

      expect(more).toEqual([]);
      expect(withSecrets(config, answers, reader)).toEqual({
        ok: true,
        config: { 's3-secret-key': 'hidden', 's3-access-key': 'in the open', destination: uri },
      });
    },
  );

  test('is asked for once, however many options name it', () => {
    expect(secretUris({ 's3-secret-key': uri, 's3-access-key': uri }, '4.0.0')).toEqual([uri]);
  });

  test.each(['2.9.49', '3.0.3', '3.2.4'])('is not asked for where users have no secrets: Juju %s', (version) => {
    expect(secretUris({ 's3-secret-key': uri }, version)).toEqual([]);
  });

  test('whose value is a value needs no Juju that has secrets', () => {
    const config = { 's3-secret-key': 'value' };
    expect(withSecrets(config, new Map(), { ...reader, jujuVersion: '2.9.49' })).toEqual({ ok: true, config });
  });
});

const cases: readonly (readonly [string, string, SecretAnswer | undefined, string, string, string])[] = [
  [
    'not granted',
    uri,
    { is: 'not-granted' },
    '3.6.27',
    `option s3-secret-key is ${uri}, it must be a secret that is granted to lb`,
    `juju grant-secret ${uri} lb`,
  ],
  [
    'not there',
    uri,
    { is: 'missing' },
    '3.6.27',
    `option s3-secret-key is ${uri}, it must be a secret of this model that is granted to lb, and there is none`,
    'juju add-secret <name> s3-secret-key#file=<path>, juju grant-secret <name> lb, juju config lb s3-secret-key=secret:<id>',
  ],
  [
    'without the key',
    uri,
    { is: 'content', content: { token: 'x', 'secret-key': 'y' } },
    '3.6.27',
    `option s3-secret-key is ${uri}, it must be a secret with the key s3-secret-key, and it has only secret-key, token`,
    `juju update-secret ${uri} s3-secret-key#file=<path>, with all its other keys`,
  ],
  [
    'that Juju could not be asked for',
    uri,
    { is: 'unreadable', why: 'the backend is sealed' },
    '3.6.27',
    `option s3-secret-key is ${uri}, and Juju could not be asked for it: the backend is sealed`,
    'wait; it is asked again within minutes',
  ],
  [
    'that is none',
    'secret:hunter2',
    undefined,
    '3.6.27',
    'option s3-secret-key is (secret), it must be secret:<id> as juju add-secret prints it, or a value that does not begin with secret:',
    'juju config lb s3-secret-key=secret:<id>',
  ],
  [
    'on Juju 2.9',
    uri,
    undefined,
    '2.9.49',
    'option s3-secret-key is the URI of a secret, it must be the value itself: Juju 2.9.49 has no secrets of users, 3.3 has',
    'juju config lb s3-secret-key=<the value itself>',
  ],
];

test.each(cases)(
  'a secret %s makes the options unusable, with rule and next command',
  (_what, value, answer, version, message, next) => {
    const answers = new Map(answer === undefined ? [] : [[value, answer] as const]);
    const made = withSecrets({ 's3-secret-key': value }, answers, { ...reader, jujuVersion: version });

    expect(made).toMatchObject({ ok: false, failure: { kind: 'settings', message, hint: next }, next });
  },
);
