import { link, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { SftpAccess } from '../core/destination-access.ts';
import { Failure } from '../core/failure.ts';
import { Secret } from '../core/secret.ts';
import { errorCode, randomName, readText, syncDirectory } from '../system/files.ts';
import { makePrivateFolder } from '../system/home.ts';

/** The key that we sign in with. */
export interface SigningKey {
  readonly secret: Secret;
  /** The line for `authorized_keys`. */
  readonly publicLine: string;
  /** Made by us, and not given by an option. */
  readonly isOwn: boolean;
}

const ownKey = 'sftp-key';

/** The key of the option, else this unit's own, which is made once and stays in its private folder (0600). */
export async function signingKey({ privateKey }: SftpAccess, privateFolder: string): Promise<SigningKey> {
  if (privateKey !== undefined) return describe(privateKey, 'the option sftp-private-key', false);
  const path = join(privateFolder, ownKey);
  const kept = (await readText(path)) ?? (await makeKey(path, privateFolder));
  return describe(new Secret(kept), path, true);
}

/** Makes a key; of several processes that do so at once all take the first one's. */
async function makeKey(path: string, folder: string): Promise<string> {
  await makePrivateFolder(folder);
  const made = ssh2.utils.generateKeyPairSync('ed25519', { comment: 'landscape-backup' }).private;
  const temporary = `${path}.${randomName()}.tmp`;
  await writeFile(temporary, made, { mode: 0o600, flag: 'wx', flush: true });
  try {
    await link(temporary, path);
    await syncDirectory(folder);
    return made;
  } catch (error) {
    const first = errorCode(error) === 'EEXIST' ? await readText(path) : undefined;
    if (first !== undefined) return first;
    throw new Failure('machine', `${path} could not be written: ${errorCode(error) ?? String(error)}`, {
      cause: error,
    });
  } finally {
    await unlink(temporary);
  }
}

function describe(secret: Secret, what: string, isOwn: boolean): SigningKey {
  const parsed = ssh2.utils.parseKey(secret.reveal());
  if (parsed instanceof Error) {
    throw new Failure('settings', `${what} holds no private key that can be read`, {
      hint: 'Give an OpenSSH or PEM key without passphrase: ssh-keygen -t ed25519 -N "".',
    });
  }
  const publicLine = `${parsed.type} ${parsed.getPublicSSH().toString('base64')} landscape-backup`;
  return { secret, publicLine, isOwn };
}
