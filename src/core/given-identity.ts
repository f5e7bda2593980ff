import { Failure } from './failure.ts';
import { hasUserSecrets, takeFromSecret, type SecretAnswer, type SecretReader } from './juju-secrets.ts';
import { Secret } from './secret.ts';

/**
 * Where an action was told to find what opens an encrypted repository. It travels in databags and job lists, so it is a place
 * and never the identity itself.
 */
export type GivenIdentity =
  { readonly is: 'file'; readonly path: string } | { readonly is: 'secret'; readonly uri: string };

/** The key in a secret of the user's; that of the option, so that one secret serves both. */
const key = 'encryption-identity';

/** Reads the parameter `identity`. Fails with `usage`, and never repeats what may be the identity itself. */
export function readGivenIdentity(text: string, { application, jujuVersion }: SecretReader): GivenIdentity {
  const given = text.trim();
  if (given.startsWith('secret:')) return { is: 'secret', uri: given };
  if (/^\/[^\0\r\n]*$/.test(given)) return { is: 'file', path: given };
  const secret = `juju add-secret <name> ${key}#file=<path>, juju grant-secret <name> ${application}, then identity=secret:<id>`;
  const file = 'copy the file to the unit, where only root can read it, then identity=/the/path/of/it';
  throw new Failure(
    'usage',
    'the parameter identity is neither secret:<id> nor the path of a file on the unit; it is never the identity itself, for parameters can be read by others',
    { hint: hasUserSecrets(jujuVersion) ? `${secret}; or ${file}` : file },
  );
}

/** What a secret holds, by what Juju said of it. Fails with `settings` where it can't be had. */
export function identityInSecret(uri: string, answer: SecretAnswer | undefined, reader: SecretReader): Secret {
  const set = (to: string) => `the same command with identity=${to}`;
  const wanted = { what: 'the parameter identity', key, otherwise: 'the path of a file on the unit', set };
  const found = takeFromSecret(wanted, { uri, answer }, reader);
  if (typeof found === 'string') return new Secret(found);
  throw found.failure;
}
