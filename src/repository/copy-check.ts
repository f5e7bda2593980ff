import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Part } from '../core/backup.ts';
import { asRecorded } from './parts.ts';
import { readToEnd, unsealed } from './seal.ts';
import { ageSuffix, compareEncrypted } from './stored-form.ts';

/** WAL and file sets carry their seal in front; archives of base backups are cut into parts and have other names. */
export const sealedName = /\.zst(?:(?:\.[1-9]\d*)?\.age)?$/;

/** The bytes of an object as they are stored; the stream fails with `damaged` before its end unless they are what was stored. */
export function proven(
  stored: AsyncIterable<Uint8Array>,
  key: string,
  part: Part | undefined,
): AsyncIterable<Uint8Array> {
  if (part !== undefined) return asRecorded(stored, key, part);
  return sealedName.test(key) ? asSealed(stored, key) : stored;
}

/** Tells whether anything says what the bytes of an object must be. */
export function isProvable(key: string, part: Part | undefined): boolean {
  return part !== undefined || sealedName.test(key);
}

/** Decompresses beside, as far as the bytes have come, and compares with the seal; what is encrypted by its encrypted bytes. */
async function* asSealed(stored: AsyncIterable<Uint8Array>, key: string): AsyncIterable<Uint8Array> {
  const beside = new PassThrough();
  beside.on('error', () => undefined); // What is wrong comes out of the check.
  const checked = key.endsWith(ageSuffix) ? compareEncrypted(beside, key) : readToEnd(unsealed(beside, key));
  checked.catch(() => undefined); // Awaited below; an error of the source comes first.
  try {
    for await (const chunk of stored) {
      if (!beside.write(chunk)) await Promise.race([once(beside, 'drain'), checked]);
      if (beside.destroyed) await checked;
      yield chunk;
    }
    beside.end();
    await checked;
  } finally {
    beside.destroy();
  }
}
