import { Option } from 'commander';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { readIdentityLines, withIdentities } from '../core/encryption.ts';
import { Failure } from '../core/failure.ts';
import type { Secret } from '../core/secret.ts';
import type { Settings } from '../core/settings.ts';
import { errorCode } from '../system/files.ts';
import { textOption } from './program.ts';

/** What verbs that open encrypted objects take. The identity itself is never an argument: everybody can read those. */
export const identityFileOption = new Option(
  '--identity-file <file>',
  'what opens an encrypted repository, as age-keygen wrote it; - reads it from the standard input',
);

const longest = 64 * 1024;

/** A context whose settings have the identities of `--identity-file` beside their own. Fails with `usage` for a file that is none. */
export async function withIdentityFile<C extends { readonly settings: Settings }>(
  context: C,
  options: Readonly<Record<string, unknown>>,
): Promise<C> {
  const path = textOption(options, 'identityFile');
  if (path === undefined) return context;
  const encryption = withIdentities(context.settings.encryption, await readIdentityFile(path));
  return { ...context, settings: { ...context.settings, encryption } };
}

async function readIdentityFile(path: string): Promise<readonly Secret[]> {
  const shown = path === '-' ? 'the standard input' : path;
  const identities = readIdentityLines(await readBounded(path, shown));
  if (identities !== undefined && identities.length > 0) return identities;
  const fault = identities === undefined ? 'a line is no AGE-SECRET-KEY-1…, no comment and not empty' : 'it holds none';
  // None of it is repeated: it may be a secret with a letter too many.
  throw new Failure('usage', `${shown} is no identity file of age: ${fault}`, {
    hint: 'age-keygen writes one; one that age itself has encrypted is opened first: age -d <file> | landscape-backup restore --identity-file -',
  });
}

async function readBounded(path: string, shown: string): Promise<string> {
  let text = '';
  try {
    const source = path === '-' ? process.stdin : (await open(path, 'r')).createReadStream();
    for await (const chunk of source.setEncoding('utf8')) {
      text += String(chunk);
      if (text.length > longest) break;
    }
  } catch (error) {
    throw unreadable(shown, error);
  }
  if (text.length <= longest) return text;
  throw new Failure('usage', `${shown} is no identity file of age: it is longer than ${longest} letters`);
}

function unreadable(shown: string, error: unknown): Failure {
  return new Failure('usage', `the identity file ${shown} could not be read: ${errorCode(error) ?? String(error)}`, {
    cause: error,
  });
}

/**
 * What root hands over in place of `--identity-file <file>`: the file itself, opened as the standard input of the owner's
 * process, who need not be able to read it, and the arguments that say so.
 */
export async function identityOnInput(
  argv: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<{ readonly argv: readonly string[]; readonly input: Readable | undefined }> {
  const path = textOption(options, 'identityFile');
  if (path === undefined || path === '-') return { argv, input: undefined };
  const handle = await open(path, constants.O_RDONLY).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  const rest = argv.filter(
    (each, index) => !/^--identity-file(?:=|$)/.test(each) && argv[index - 1] !== '--identity-file',
  );
  return { argv: [...rest, '--identity-file', '-'], input: handle.createReadStream() };
}
