import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { Failure } from '../core/failure.ts';

/**
 * The payload of an age file: a nonce, then chunks of 64 KiB, each with a tag of its own; the last one is marked as such.
 * Source: age specification v1, "Payload".
 */
const chunkBytes = 64 * 1024;
const tagBytes = 16;
const sealedBytes = chunkBytes + tagBytes;
/** Random bytes at the beginning of a payload. */
export const nonceBytes = 16;

/** The key of a payload. */
export function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Uint8Array {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

/**
 * Encrypts a stream; a chunk of it is not used any more when the next one is asked for. Memory is a few chunks.
 */
export async function* encryptPayload(plain: AsyncIterable<Uint8Array>, key: Uint8Array): AsyncIterable<Uint8Array> {
  const nonces = makeNonces();
  for await (const { bytes, isLast } of gathered(plain, chunkBytes)) {
    const parts: Uint8Array[] = [];
    for (const [chunk, ends] of chunksOf(bytes, chunkBytes)) {
      parts.push(...encryptChunk(chunk, key, nonces(ends && isLast)));
    }
    yield Buffer.concat(parts);
  }
}

function encryptChunk(plain: Uint8Array, key: Uint8Array, nonce: Uint8Array): Uint8Array[] {
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes });
  return [cipher.update(plain), cipher.final(), cipher.getAuthTag()];
}

/**
 * Decrypts a payload behind its nonce. Every byte that comes out was authenticated before; a stream that is cut off, goes on
 * behind its end or was changed fails with `damaged` before its end.
 */
export async function* decryptPayload(
  stored: AsyncIterable<Uint8Array>,
  key: Uint8Array,
  what: string,
): AsyncIterable<Uint8Array> {
  const nonces = makeNonces();
  let isFirst = true;
  for await (const { bytes, isLast } of gathered(stored, sealedBytes)) {
    const parts: Uint8Array[] = [];
    for (const [chunk, ends] of chunksOf(bytes, sealedBytes)) {
      const plain = decryptChunk(chunk, key, nonces(ends && isLast), what);
      // Only an empty payload has an empty last chunk: there is one form for each stream.
      if (plain.byteLength === 0 && !isFirst) throw damaged(what);
      isFirst = false;
      parts.push(plain);
    }
    yield Buffer.concat(parts);
  }
}

function decryptChunk(sealed: Uint8Array, key: Uint8Array, nonce: Uint8Array, what: string): Buffer {
  if (sealed.byteLength < tagBytes) throw damaged(what);
  const end = sealed.byteLength - tagBytes;
  try {
    const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes });
    decipher.setAuthTag(sealed.subarray(end));
    return Buffer.concat([decipher.update(sealed.subarray(0, end)), decipher.final()]);
  } catch (error) {
    throw damaged(what, error);
  }
}

function damaged(what: string, cause?: unknown): Failure {
  return new Failure('damaged', `the object ${what} is cut off or changed: its encrypted bytes are not those stored`, {
    hint: 'Look for disk errors at the destination.',
    cause,
  });
}

/** How many chunks are worked on at once. */
const together = 4;

/**
 * The bytes of a stream in stretches of whole chunks, in a buffer that is used again for the next one. The last stretch is not
 * empty unless the stream is: only its end tells which chunk is the last.
 */
async function* gathered(
  source: AsyncIterable<Uint8Array>,
  unit: number,
): AsyncIterable<{ readonly bytes: Uint8Array; readonly isLast: boolean }> {
  const held = Buffer.allocUnsafeSlow(unit * together);
  let used = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.byteLength;) {
      if (used === held.byteLength) {
        yield { bytes: held, isLast: false };
        used = 0;
      }
      const taken = chunk.subarray(at, at + held.byteLength - used);
      held.set(taken, used);
      used += taken.byteLength;
      at += taken.byteLength;
    }
  }
  yield { bytes: held.subarray(0, used), isLast: true };
}

/** Chunks of a stretch, each with whether it is the last of it; an empty stretch is one empty chunk. */
function* chunksOf(bytes: Uint8Array, unit: number): Generator<readonly [Uint8Array, boolean]> {
  let at = 0;
  do {
    yield [bytes.subarray(at, at + unit), at + unit >= bytes.byteLength];
    at += unit;
  } while (at < bytes.byteLength);
}

/** The nonces of a payload's chunks: eleven bytes that count, and one that says whether it is the last. */
function makeNonces(): (isLast: boolean) => Uint8Array {
  let count = 0;
  return (isLast) => {
    const nonce = Buffer.alloc(12);
    nonce.writeUIntBE(count, 5, 6);
    nonce.writeUInt8(isLast ? 1 : 0, 11);
    count += 1;
    return nonce;
  };
}
