import { Failure } from './failure.ts';
import { isSecretOption } from './settings.ts';

/** The options of the charm as Juju gives them. */
export type CharmConfig = Readonly<Record<string, string | number | boolean>>;

/** What Juju said when it was asked for the contents of a secret. */
export type SecretAnswer =
  | { readonly is: 'content'; readonly content: Readonly<Record<string, string>> }
  | { readonly is: 'not-granted' }
  | { readonly is: 'missing' }
  | { readonly is: 'unreadable'; readonly why: string };

/** What Juju said, by the URI that it was asked with. */
export type SecretAnswers = ReadonlyMap<string, SecretAnswer>;

/** A secret by the URI that somebody named, and what Juju said of it, where it was asked. */
interface NamedSecret {
  readonly uri: string;
  readonly answer: SecretAnswer | undefined;
}

/** Whose options they are, and by which Juju. */
export interface SecretReader {
  readonly application: string;
  readonly jujuVersion: string;
}

/** Options that can't be used, with the command that mends it. */
export interface Unusable {
  readonly ok: false;
  readonly failure: Failure;
  readonly next: string;
  /** What stands in the way passes without the operator. */
  readonly status?: 'waiting' | undefined;
}

export type Usable = { readonly ok: true; readonly config: CharmConfig };

const uri = /^secret:(?:\/\/[0-9a-f-]{36}\/)?[0-9a-z]{20}$/;

/** Users have secrets from Juju 3.3 on. */
export function hasUserSecrets(jujuVersion: string): boolean {
  const [major = 0, minor = 0] = jujuVersion.split('.').map((part) => Number.parseInt(part, 10));
  return major > 3 || (major === 3 && minor >= 3);
}

/** The URIs of secrets for which Juju is to be asked; none where it has no secrets of users. */
export function secretUris(config: CharmConfig, jujuVersion: string): readonly string[] {
  if (!hasUserSecrets(jujuVersion)) return [];
  return [...new Set(references(config).flatMap(([, value]) => (uri.test(value) ? [value] : [])))];
}

/** Tells whether a text is the URI of a secret as Juju prints it. */
export function isSecretUri(text: string): boolean {
  return uri.test(text);
}

/** The options that name a secret in place of holding one. */
function references(config: CharmConfig): readonly (readonly [name: string, value: string])[] {
  return Object.entries(config).flatMap(([name, value]) => {
    const text = isSecretOption(name) ? String(value).trim() : '';
    return text.startsWith('secret:') ? [[name, text] as const] : [];
  });
}

/**
 * Puts what secrets hold in the place of their URIs: each option takes the key of its own name. The first that can't be had
 * makes all options unusable.
 */
export function withSecrets(config: CharmConfig, answers: SecretAnswers, reader: SecretReader): Usable | Unusable {
  const resolved: Record<string, string | number | boolean> = { ...config };
  for (const [name, value] of references(config)) {
    const found = valueOf(name, value, answers, reader);
    if (typeof found !== 'string') return found;
    resolved[name] = found;
  }
  return { ok: true, config: resolved };
}

function valueOf(name: string, value: string, answers: SecretAnswers, reader: SecretReader): string | Unusable {
  const { application } = reader;
  const set = (to: string) => `juju config ${application} ${name}=${to}`;
  return takeFromSecret(
    { what: `option ${name}`, key: name, otherwise: 'the value itself', set },
    { uri: value, answer: answers.get(value) },
    reader,
  );
}

/** What is to come out of a secret, in the words of who named it. */
interface Wanted {
  readonly what: string;
  /** The key in the secret. */
  readonly key: string;
  /** What may stand there in place of a secret. */
  readonly otherwise: string;
  /** What an operator types to name something else. */
  readonly set: (to: string) => string;
}

/** One value of a secret by its URI and what Juju said of it, or why it can't be had. */
export function takeFromSecret(
  { what, key, otherwise, set }: Wanted,
  { uri: named, answer = { is: 'unreadable', why: 'Juju was not asked' } }: NamedSecret,
  { application, jujuVersion }: SecretReader,
): string | Unusable {
  if (!hasUserSecrets(jujuVersion)) {
    return unusable(
      `${what} is the URI of a secret, it must be ${otherwise}: Juju ${jujuVersion} has no secrets of users, 3.3 has`,
      set(`<${otherwise}>`),
    );
  }
  if (!uri.test(named)) {
    return unusable(
      `${what} is (secret), it must be secret:<id> as juju add-secret prints it, or a value that does not begin with secret:`,
      set('secret:<id>'),
    );
  }
  const is = `${what} is ${named}, it must be a secret`;
  switch (answer.is) {
    case 'not-granted':
      return unusable(`${is} that is granted to ${application}`, `juju grant-secret ${named} ${application}`);
    case 'missing':
      return unusable(
        `${is} of this model that is granted to ${application}, and there is none`,
        `juju add-secret <name> ${key}#file=<path>, juju grant-secret <name> ${application}, ${set('secret:<id>')}`,
      );
    case 'unreadable':
      return unusable(
        `${what} is ${named}, and Juju could not be asked for it: ${answer.why}`,
        'wait; it is asked again within minutes',
      );
    case 'content': {
      const text = answer.content[key];
      if (text !== undefined) return text;
      const has = Object.keys(answer.content).sort().join(', ');
      return unusable(
        `${is} with the key ${key}, and it has ${has === '' ? 'none' : `only ${has}`}`,
        `juju update-secret ${named} ${key}#file=<path>, with all its other keys`,
      );
    }
  }
}

/** Settings that can't be used, as a failure and the next command. */
export function unusable(message: string, next: string): Unusable {
  return { ok: false, failure: new Failure('settings', message, { hint: next }), next };
}
