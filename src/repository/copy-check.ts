import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Part } from '../core/backup.ts';
import { Failure } from '../core/failure.ts';
import { unsealed } from './seal.ts';
import { ageSuffix, compareEncrypted } from './stored-form.ts';

/** WAL and file sets carry their seal in front; archives of base backups are cut into parts and have other names. */
export const sealedName = /\.zst(?:\.age)?$/;

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

async function* asRecorded(
  stored: AsyncIterable<Uint8Array>,
  key: string,
  { sizeBytes, sha256 }: Part,
): AsyncIterable<Uint8Array> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of stored) {
    hash.update(chunk);
    length += chunk.byteLength;
    yield chunk;
  }
  if (length === sizeBytes && hash.digest('hex') === sha256) return;
  throw new Failure('damaged', `the object ${key} is not the bytes that were stored`);
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

/** Reads a stream for what it says of itself. */
export async function readToEnd(stream: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _chunk of stream);
}
