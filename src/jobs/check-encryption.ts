import { randomBytes } from 'node:crypto';
import { fingerprintOf } from '../core/age-key.ts';
import { Failure } from '../core/failure.ts';
import type { Repository } from '../repository/repository.ts';
import { bytesOf } from '../repository/small-object.ts';
import { ageSuffix, encryptedForm, openedForm } from '../repository/stored-form.ts';
import { randomName } from '../system/files.ts';

/**
 * Proves in a folder of probes that what is stored now can be opened again: an object is encrypted as every other, stored, and
 * opened with the identity where one is at hand. Where none is, it is the operator who has compared the recipients.
 *
 * Fails as `Keys.recipients` does, and with `refused` for an identity that opens nothing of what is stored.
 */
export async function proveEncryption(repository: Repository, folder: string, now: Date): Promise<string> {
  const { keys, storage } = repository;
  const recipients = keys.recipients();
  if (recipients === undefined) return 'off: who can read the destination can read the backups';
  const to = recipients.map((each) => `age1…${fingerprintOf(each)}`).join(', ');
  const bytes = randomBytes(64);
  const key = `${folder}${now.getTime()}-${randomName()}${ageSuffix}`;
  try {
    await storage.put(key, encryptedForm(keys, bytesOf(bytes)));
    if (!keys.hasIdentity) {
      return `an object was encrypted to ${to}, as confirmed; no identity is at hand, so it was not opened (--identity-file tries one)`;
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of openedForm(keys, await repository.read(key), key)) chunks.push(chunk);
    if (!Buffer.concat(chunks).equals(bytes)) {
      throw new Failure('damaged', `${storage.url} gave back other bytes than were stored`, {
        hint: 'Look for disk errors at the destination.',
      });
    }
    return `an object was encrypted to ${to}, and opened with the identity that is at hand`;
  } finally {
    await storage.remove(key).catch(() => undefined); // What is left is swept by a later check.
  }
}

/** What encryption means for who only reads here. */
export function describeReading({ keys }: Pick<Repository, 'keys'>): string {
  if (!keys.isEncrypted) return 'off: who can read the destination can read the backups';
  if (keys.hasIdentity) return 'on; nothing is stored from here, and a restore uses the identity that is at hand';
  return 'on; nothing is stored from here, and a restore asks for the identity (--identity-file, or encryption-identity)';
}
