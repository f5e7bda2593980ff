import { describe, expect, test } from 'vitest';
import type { SecretAnswer } from '../../src/core/juju-secrets.ts';
import { offeredSecrets, withOffer, type S3Offer } from '../../src/core/s3-relation.ts';

const pem = (name: string) => ['-----BEGIN CERTIFICATE-----', name, '-----END CERTIFICATE-----'].join('\n');
const base64 = (text: string) => Buffer.from(text).toString('base64');
const reader = { application: 'lb', jujuVersion: '3.6.27' };
const uri = 'secret://91f805c5-5b49-47a3-8e7b-70befa766caf/d40rbhnmp25c76d6bdn0';

function offer(said: Readonly<Record<string, string>>): S3Offer {
  return {
    application: 's3',
    id: '7',
    said: { bucket: 'vault', 'access-key': 'aaaaaa', 'secret-key': 'bbbbbb', ...said },
  };
}

describe('the certificates of a chain', () => {
  test.each([
    ['a list of PEM', JSON.stringify([pem('AAAA'), pem('BBBB')])],
    ['a list of PEM in base64', JSON.stringify([base64(pem('AAAA')), base64(`${pem('BBBB')}\n`)])],
    ['PEM', `${pem('AAAA')}\n${pem('BBBB')}\n`],
    ['PEM in base64', base64(`${pem('AAAA')}\n${pem('BBBB')}`)],
  ])('come as %s', (_what, chain) => {
    const together = withOffer({}, offer({ 'tls-ca-chain': chain }), new Map(), reader);

    if (!together.ok) throw together.failure;
    expect(together.config['s3-ca']).toBe(`${pem('AAAA')}\n${pem('BBBB')}`);
  });

  test('come as their bytes in base64', () => {
    const bytes = `MII${'A'.repeat(97)}`;
    const together = withOffer({}, offer({ 'tls-ca-chain': JSON.stringify([bytes]) }), new Map(), reader);

    if (!together.ok) throw together.failure;
    expect(together.config['s3-ca']).toBe(pem(`${bytes.slice(0, 64)}\n${bytes.slice(64)}`));
  });

  test('are the same as those of the option, however they are cut', () => {
    const option = `${pem('AAAA')}\n\n${pem('BBBB')}\n`;
    const chain = JSON.stringify([pem('AAAA'), pem('BBBB')]);

    expect(withOffer({ 's3-ca': option }, offer({ 'tls-ca-chain': chain }), new Map(), reader)).toMatchObject({
      ok: true,
      config: { 's3-ca': option },
    });
  });
});

const refused: readonly (readonly [SecretAnswer | undefined, string])[] = [
  [{ is: 'missing' }, 'a secret that is not there'],
  [{ is: 'not-granted' }, 'a secret that is not granted yet'],
  [{ is: 'unreadable', why: 'the backend is sealed' }, 'and Juju could not be asked for it: the backend is sealed'],
  [undefined, 'and Juju could not be asked for it: Juju was not asked'],
];

test.each(refused)('a secret that Juju does not give (%j) is waited for', (answer, told) => {
  const said = offer({ 'secret-extra': uri });
  const answers = new Map(answer === undefined ? [] : offeredSecrets(said).map((each) => [each, answer] as const));

  expect(withOffer({}, said, answers, reader)).toMatchObject({
    ok: false,
    status: 'waiting',
    failure: { message: `the relation s3-parameters names ${uri}, ${told}` },
    next: 'juju status s3 tells what it lacks',
  });
});

test('keys in a secret count and none beside it, and a secret without keys has none to say', () => {
  const said = offer({ 'secret-extra': uri });
  const content = { 'access-key': 'cccccc', 'secret-key': 'dddddd' };
  expect(withOffer({}, said, new Map([[uri, { is: 'content', content }]]), reader)).toMatchObject({
    ok: true,
    config: { 's3-access-key': 'cccccc', 's3-secret-key': 'dddddd' },
  });
  expect(withOffer({}, said, new Map([[uri, { is: 'content', content: {} }]]), reader)).toMatchObject({
    ok: false,
    failure: { message: 'the relation s3-parameters does not say access-key and secret-key yet' },
  });
});

test('an option that breaks its own rule is left to who tells of options', () => {
  for (const config of [{ destination: 'nowhere' }, { 's3-region': 'a region' }]) {
    expect(withOffer(config, offer({ region: 'eu' }), new Map(), reader)).toMatchObject({ ok: true, config });
  }
});

test('without a relation options are what they are', () => {
  const config = { destination: '/srv/backup' };
  expect(withOffer(config, undefined, new Map(), reader)).toEqual({ ok: true, config });
  expect(offeredSecrets(undefined)).toEqual([]);
});
