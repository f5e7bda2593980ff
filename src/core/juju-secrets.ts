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
function hasUserSecrets(jujuVersion: string): boolean {
  const [major = 0, minor = 0] = jujuVersion.split('.').map((part) => Number.parseInt(part, 10));
  return major > 3 || (major === 3 && minor >= 3);
}

/** The URIs of secrets for which Juju is to be asked; none where it has no secrets of users. */
export function secretUris(config: CharmConfig, jujuVersion: string): readonly string[] {
  if (!hasUserSecrets(jujuVersion)) return [];
  return [...new Set(references(config).flatMap(([, value]) => (uri.test(value) ? [value] : [])))];
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
  const { application, jujuVersion } = reader;
  if (!hasUserSecrets(jujuVersion)) {
    return unusable(
      `option ${name} is the URI of a secret, it must be the value itself: Juju ${jujuVersion} has no secrets of users, 3.3 has`,
      `juju config ${application} ${name}=<the value itself>`,
    );
  }
  if (!uri.test(value)) {
    return unusable(
      `option ${name} is (secret), it must be secret:<id> as juju add-secret prints it, or a value that does not begin with secret:`,
      `juju config ${application} ${name}=secret:<id>`,
    );
  }
  const answer = answers.get(value) ?? { is: 'unreadable', why: 'Juju was not asked' };
  const is = `option ${name} is ${value}, it must be a secret`;
  switch (answer.is) {
    case 'not-granted':
      return unusable(`${is} that is granted to ${application}`, `juju grant-secret ${value} ${application}`);
    case 'missing':
      return unusable(
        `${is} of this model that is granted to ${application}, and there is none`,
        `juju add-secret <name> ${name}#file=<path>, juju grant-secret <name> ${application}, juju config ${application} ${name}=secret:<id>`,
      );
    case 'unreadable':
      return unusable(
        `option ${name} is ${value}, and Juju could not be asked for it: ${answer.why}`,
        'wait; it is asked again within minutes',
      );
    case 'content': {
      const text = answer.content[name];
      if (text !== undefined) return text;
      const has = Object.keys(answer.content).sort().join(', ');
      return unusable(
        `${is} with the key ${name}, and it has ${has === '' ? 'none' : `only ${has}`}`,
        `juju update-secret ${value} ${name}#file=<path>, with all its other keys`,
      );
    }
  }
}

function unusable(message: string, next: string): Unusable {
  return { ok: false, failure: new Failure('settings', message, { hint: next }), next };
}
