import { describe, expect, test } from 'vitest';
import { identityInSecret, readGivenIdentity } from '../../src/core/given-identity.ts';
import type { SecretAnswer } from '../../src/core/juju-secrets.ts';
import { newAgeKey } from '../setup/age.ts';

const uri = 'secret:d0a1b2c3d4e5f6g7h8i9';
const reader = { application: 'lb', jujuVersion: '3.6.27' };
const old = { application: 'lb', jujuVersion: '2.9.49' };

describe('the parameter identity', () => {
  test.each([
    [uri, { is: 'secret', uri }],
    [`${uri}\n`, { is: 'secret', uri }],
    ['/root/backup key.txt', { is: 'file', path: '/root/backup key.txt' }],
  ])('names a place: %j', (text, found) => {
    expect(readGivenIdentity(text, reader)).toEqual(found);
  });

  test('that is the identity itself is refused without being repeated, with what this Juju has in its place', () => {
    const { identity } = newAgeKey();
    const body = identity.slice(16);
    const refusal = (which: typeof reader) => {
      try {
        return readGivenIdentity(identity, which);
      } catch (error) {
        return error;
      }
    };
    expect(refusal(reader)).toMatchObject({
      kind: 'usage',
      message: expect.not.stringContaining(body),
      hint: expect.stringMatching(
        /^juju add-secret <name> encryption-identity#file=<path>, juju grant-secret <name> lb/,
      ),
    });
    expect(refusal(old)).toMatchObject({ hint: expect.stringMatching(/^copy the file to the unit/) });
  });

  test.each(['backup-key.txt', './key', '/one\n/two'])('that is no place is refused: %j', (text) => {
    expect(() => readGivenIdentity(text, reader)).toThrow(/neither secret:<id> nor the path/);
  });
});

describe('an identity in a secret', () => {
  const content = (held: Readonly<Record<string, string>>): SecretAnswer => ({ is: 'content', content: held });

  test('is what the key encryption-identity holds', () => {
    const answer = content({ 'encryption-identity': 'planted text', 's3-secret-key': 'another' });
    expect(identityInSecret(uri, answer, reader).reveal()).toBe('planted text');
  });

  test.each([
    [{ is: 'not-granted' }, reader, 'that is granted to lb', `juju grant-secret ${uri} lb`],
    [
      { is: 'missing' },
      reader,
      'and there is none',
      /^juju add-secret .*, the same command with identity=secret:<id>$/,
    ],
    [content({ key: 'x' }), reader, 'with the key encryption-identity, and it has only key', /^juju update-secret/],
    [
      undefined,
      old,
      'it must be the path of a file on the unit: Juju 2.9.49 has no secrets of users',
      'the same command with identity=<the path of a file on the unit>',
    ],
  ] satisfies (readonly [SecretAnswer | undefined, typeof reader, string, string | RegExp])[])(
    'that can not be had is told with the next command: %j',
    (answer, which, sentence, hint) => {
      const take = () => identityInSecret(uri, answer, which);
      expect(take).toThrow(sentence);
      expect(take).toThrow(expect.objectContaining({ hint: expect.stringMatching(hint) }));
    },
  );
});
