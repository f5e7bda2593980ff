import { execaSync } from 'execa';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fingerprintOf, isFingerprint, readIdentity, readRecipient, recipientOf } from '../../src/core/age-key.ts';
import { newAgeKey } from '../setup/age.ts';

test('what age-keygen makes is read, and written the same', () => {
  for (let turn = 0; turn < 20; turn += 1) {
    const { identity, recipient } = newAgeKey();

    const read = readRecipient(recipient);
    expect(read?.point.byteLength).toBe(32);
    expect(recipientOf(read?.point ?? new Uint8Array()).text).toBe(recipient);
    expect(readIdentity(identity)?.byteLength).toBe(32);
  }
});

test('any 32 bytes are a recipient and come back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (point) => {
      expect([...(readRecipient(recipientOf(point).text)?.point ?? [])]).toEqual([...point]);
    }),
  );
});

test('one letter changed is no recipient', () => {
  const { recipient } = newAgeKey();
  for (let at = 0; at < recipient.length; at += 1) {
    const changed = recipient.slice(0, at) + (recipient[at] === 'q' ? 'p' : 'q') + recipient.slice(at + 1);
    expect(readRecipient(changed), changed).toBeUndefined();
  }
});

describe('what is no key of ours', () => {
  const { recipient, identity } = newAgeKey();
  test.each([
    ['nothing', ''],
    ['capitals', recipient.toUpperCase()],
    ['mixed letters', recipient.replace(/[a-z](?=\d*$)/, (letter) => letter.toUpperCase())],
    ['the half of it', recipient.slice(0, 40)],
    ['one more letter', `${recipient}q`],
    ['an identity', identity],
    ['an identity in small letters', identity.toLowerCase()],
    ['a key of SSH', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAMUTssP33mz04ppOe4+wiOutfqA72LJdf7Iblg4FzyM'],
    ['a recipient of a plugin', 'age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt'],
  ])('a recipient: %s', (_name, text) => {
    expect(readRecipient(text)).toBeUndefined();
  });
  test.each([
    ['a recipient', recipient],
    ['small letters', identity.toLowerCase()],
    ['the half of it', identity.slice(0, 50)],
    ['a plugin', 'AGE-PLUGIN-YUBIKEY-1XXXX'],
  ])('an identity: %s', (_name, text) => {
    expect(readIdentity(text)).toBeUndefined();
  });
});

test('a fingerprint is how the line ends that age-keygen -y prints', () => {
  const { file, recipient } = newAgeKey();
  const { stdout } = execaSync('age-keygen', ['-y'], { input: file });

  expect(stdout.endsWith(fingerprintOf({ text: recipient }))).toBe(true);
  expect(isFingerprint(fingerprintOf({ text: recipient }))).toBe(true);
  expect(isFingerprint('short')).toBe(false);
  expect(isFingerprint('bbbbbbbbbbbbbbbb')).toBe(false);
});
