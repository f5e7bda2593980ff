import { execaSync } from 'execa';
import type { Encryption } from '../../src/core/encryption.ts';
import { parseSettings } from '../../src/core/settings.ts';

/** A key of the age format as `age-keygen` makes it. */
export interface AgeKey {
  /** The text of its file. */
  readonly file: string;
  /** `AGE-SECRET-KEY-1…` */
  readonly identity: string;
  /** `age1…` */
  readonly recipient: string;
  /** What an operator compares. */
  readonly fingerprint: string;
}

/** Makes a key. */
export function newAgeKey(): AgeKey {
  const { stdout: file } = execaSync('age-keygen');
  const identity = /^AGE-SECRET-KEY-1.*$/m.exec(file)?.[0] ?? '';
  const recipient = /^# public key: (.*)$/m.exec(file)?.[1] ?? '';
  return { file, identity, recipient, fingerprint: recipient.slice(-16) };
}

/** The settings of who encrypts to some keys, which were compared, and has the identities of some. */
export function encryptionFor(to: readonly AgeKey[], has: readonly AgeKey[] = []): Encryption {
  return parseSettings(encryptionOptions(to, has)).encryption;
}

/** The same as options of the settings file. */
export function encryptionOptions(
  to: readonly AgeKey[],
  has: readonly AgeKey[] = [],
): Readonly<Record<'encryption-recipients' | 'encryption-confirmed' | 'encryption-identity', string>> {
  return {
    'encryption-recipients': to.map(({ recipient }) => recipient).join(' '),
    'encryption-confirmed': to.map(({ fingerprint }) => fingerprint).join(' '),
    'encryption-identity': has.map(({ identity }) => identity).join('\n'),
  };
}
