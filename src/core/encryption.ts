import * as z from 'zod';
import { fingerprintOf, isFingerprint, readIdentity, readRecipient, type Recipient } from './age-key.ts';
import { Secret } from './secret.ts';

/** How objects are encrypted, and with what they are opened again. */
export interface Encryption {
  /** Whose identities open what is stored from now on; none: nothing is encrypted. */
  readonly recipients: readonly Recipient[];
  /** Fingerprints of recipients that the operator has compared. */
  readonly confirmed: readonly string[];
  /** What opens: `AGE-SECRET-KEY-1…`. Not needed to store. */
  readonly identities: readonly Secret[];
}

/** Neither encrypts nor opens. */
export const noEncryption: Encryption = { recipients: [], confirmed: [], identities: [] };

/** The same with more identities, which are tried first. */
export function withIdentities(encryption: Encryption, more: readonly Secret[]): Encryption {
  return { ...encryption, identities: [...more, ...encryption.identities] };
}

/** Each one is a stanza in front of every object. */
const mostRecipients = 20;

/** Several recipients, parted by spaces or line ends. */
export const recipientsSchema = z.string().transform((text, context): readonly Recipient[] => {
  const found = new Map<string, Recipient>();
  for (const word of wordsOf(text)) {
    const recipient = readRecipient(word);
    if (recipient !== undefined) {
      found.set(word, recipient);
      continue;
    }
    const isIdentity = /^age-secret-key-/i.test(word);
    // Who pastes the wrong half must not find it in a status: a secret is taken out of every message.
    const shown = isIdentity ? `${String(new Secret(word))} is an identity: age-keygen -y prints its recipient` : word;
    context.addIssue(shown);
    return z.NEVER;
  }
  if (found.size <= mostRecipients) return [...found.values()];
  context.addIssue(`at most ${mostRecipients}`);
  return z.NEVER;
});

export const confirmedSchema = z.string().transform((text, context): readonly string[] => {
  const words = wordsOf(text);
  const wrong = words.find((word) => !isFingerprint(word));
  if (wrong === undefined) return words;
  context.addIssue(wrong);
  return z.NEVER;
});

/** The text of an identity file, as `age-keygen` writes it; an error never repeats any of it. */
export const identitySchema = z.string().transform((text, context): readonly Secret[] => {
  const identities = readIdentityLines(text);
  if (identities !== undefined) return identities;
  context.addIssue('a line is no AGE-SECRET-KEY-1…, no comment and not empty');
  return z.NEVER;
});

/** The identities of an identity file's text; `undefined` when a line is neither one, nor a comment, nor empty. */
export function readIdentityLines(text: string): readonly Secret[] | undefined {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.some((key) => readIdentity(key) === undefined)) return undefined;
  return [...new Set(keys)].map((key) => new Secret(key));
}

function wordsOf(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}

/** The recipients that nobody has confirmed. */
export function unconfirmed({ recipients, confirmed }: Encryption): readonly Recipient[] {
  return recipients.filter((recipient) => !confirmed.includes(fingerprintOf(recipient)));
}

/**
 * What to do about recipients that nobody has confirmed and no identity at hand opens. It tells all that the option is to be:
 * who sets it for a recipient that came later keeps the earlier ones in it.
 */
export function confirmHint({ recipients }: Pick<Encryption, 'recipients'>): string {
  const fingerprints = recipients.map((recipient) => fingerprintOf(recipient)).join(' ');
  return (
    'Whoever lacks the identity loses every backup. Compare with what age-keygen -y prints for the identity that you keep; ' +
    `if it ends the same, set encryption-confirmed to: ${fingerprints}`
  );
}
