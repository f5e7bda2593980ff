import { isFailure } from '../core/failure.ts';
import type { SecretAnswer, SecretAnswers } from '../core/juju-secrets.ts';
import type { HookTools } from '../juju/hook-tools.ts';

/**
 * Asks Juju for the newest contents of secrets. That one can't be had is an answer about that one, never the end of a hook:
 * what else the hook is for goes on, with the last good settings.
 */
export async function readSecrets(tools: HookTools, uris: readonly string[]): Promise<SecretAnswers> {
  const answers = new Map<string, SecretAnswer>();
  for (const uri of uris) answers.set(uri, await read(tools, uri));
  return answers;
}

async function read(tools: HookTools, uri: string): Promise<SecretAnswer> {
  try {
    return { is: 'content', content: await tools.secretGet(uri) };
  } catch (error) {
    if (!isFailure(error, 'machine')) throw error;
    if (/permission denied|is not allowed to/.test(error.message)) return { is: 'not-granted' };
    if (/secret "[^"]*" not found/.test(error.message)) return { is: 'missing' };
    return { is: 'unreadable', why: error.message };
  }
}
