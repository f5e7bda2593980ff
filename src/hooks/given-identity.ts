import { identityInSecret, readGivenIdentity } from '../core/given-identity.ts';
import { isSecretUri, type SecretReader } from '../core/juju-secrets.ts';
import type { Secret } from '../core/secret.ts';
import type { JujuEnvironment } from '../juju/environment.ts';
import type { HookTools } from '../juju/hook-tools.ts';
import { readSecrets } from './read-secrets.ts';

/** What a job's verb is told so that it can open an encrypted repository. */
export interface JobIdentity {
  readonly argv: readonly string[];
  /** What it reads from its standard input. */
  readonly input: Secret | undefined;
}

/** Brings a job what the parameter `identity` names; nothing where that is empty. Asks Juju for a secret each time anew. */
export async function identityForJob(
  tools: HookTools,
  environment: JujuEnvironment,
  text: string,
): Promise<JobIdentity> {
  if (text === '') return { argv: [], input: undefined };
  const reader: SecretReader = { application: environment.application, jujuVersion: environment.version };
  const given = readGivenIdentity(text, reader);
  if (given.is === 'file') return { argv: [`--identity-file=${given.path}`], input: undefined };
  const answers = await readSecrets(tools, isSecretUri(given.uri) ? [given.uri] : []);
  return { argv: ['--identity-file=-'], input: identityInSecret(given.uri, answers.get(given.uri), reader) };
}
