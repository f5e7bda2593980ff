import type { Recipient } from '../core/age-key.ts';
import { confirmHint, unconfirmed, type Encryption } from '../core/encryption.ts';
import { Failure } from '../core/failure.ts';
import type { RepositoryRecord } from '../core/record.ts';
import { openIdentity, opensFor, type Identity } from './age-keys.ts';

/** What a repository's secret objects are stored and opened with here. */
export interface Keys {
  /** The repository holds encrypted objects, and no others where they could be secret. */
  readonly isEncrypted: boolean;
  /** Something is at hand that may open them. */
  readonly hasIdentity: boolean;

  /**
   * To whom new objects are encrypted; `undefined` where the repository is not. Fails with `refused` or `settings` where the
   * settings want something else than the repository is, or a key that nobody has tried or compared.
   */
  recipients(): readonly Recipient[] | undefined;

  /** What opens stored objects. Fails with `refused` where nothing is at hand. */
  identities(): readonly Identity[];
}

/** Brings together what a repository is and what the settings say. */
export function makeKeys({ encryption }: Pick<RepositoryRecord, 'encryption'>, url: string, asked: Encryption): Keys {
  const isEncrypted = encryption === 'age';
  let opened: readonly Identity[] | undefined;
  const open = () => (opened ??= asked.identities.flatMap((secret) => openIdentity(secret) ?? []));
  return {
    isEncrypted,
    hasIdentity: asked.identities.length > 0,
    recipients: () => {
      refuseOther(isEncrypted, url, asked);
      if (!isEncrypted) return undefined;
      const unproven = unconfirmed(asked).filter(
        (recipient) => !open().some((identity) => opensFor(identity, recipient)),
      );
      if (unproven.length === 0) return asked.recipients;
      const texts = unproven.map(({ text }) => text).join(', ');
      throw new Failure('settings', `the identity in encryption-identity does not open what is encrypted to ${texts}`, {
        hint: confirmHint(asked),
      });
    },
    identities: () => {
      if (asked.identities.length > 0) return open();
      throw new Failure('refused', `the repository at ${url} is encrypted, and no identity is at hand to open it`, {
        hint: 'Give the identity to the same command: --identity-file=<file>; or put it (AGE-SECRET-KEY-1…) into the option encryption-identity.',
      });
    },
  };
}

function refuseOther(isEncrypted: boolean, url: string, { recipients }: Encryption): void {
  if (isEncrypted && recipients.length === 0) {
    throw new Failure(
      'refused',
      `the repository at ${url} is encrypted, and the option encryption-recipients is empty`,
      {
        hint: 'Set encryption-recipients to the recipients of those who shall be able to restore (age-keygen -y).',
      },
    );
  }
  if (isEncrypted || recipients.length === 0) return;
  throw new Failure(
    'refused',
    `the repository at ${url} is not encrypted, but the option encryption-recipients is set`,
    {
      hint: 'What is encrypted begins at a destination of its own: point destination at an empty one, then init. Or empty the option.',
    },
  );
}

/** Those of objects that are never encrypted. */
export const plainKeys: Keys = {
  isEncrypted: false,
  hasIdentity: false,
  recipients: () => undefined,
  identities: () => [],
};
