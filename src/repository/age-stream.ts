import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { Failure } from '../core/failure.ts';
import { giveBack } from '../system/memory.ts';

/**
 * The payload of an age file: a nonce, then chunks of 64 KiB, each with a tag of its own; the last one is marked as such.
 * Source: age specification v1, "Payload".
 */
const chunkBytes = 64 * 1024;
const tagBytes = 16;
const sealedBytes = chunkBytes + tagBytes;
/** How many chunks are worked on at once. */
const together = 4;
/** What they are when they are encrypted. */
export const stretchBytes = together * sealedBytes;
/** Random bytes at the beginning of a payload. */
export const nonceBytes = 16;

/** The key of a payload. */
export function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Uint8Array {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

/**
 * Encrypts a stream; a chunk of it is not used any more when the next one is asked for. Memory is a few chunks, and each that
 * comes out has memory of its own.
 */
export async function* encryptPayload(plain: AsyncIterable<Uint8Array>, key: Uint8Array): AsyncIterable<Uint8Array> {
  const nonces = makeNonces();
  for await (const { bytes, isLast } of gathered(plain, chunkBytes)) {
    const chunks = [...chunksOf(bytes, chunkBytes)];
    const sealed = Buffer.allocUnsafeSlow(bytes.byteLength + chunks.length * tagBytes);
    let used = 0;
    for (const [chunk, ends] of chunks) {
      encryptInto(sealed.subarray(used), chunk, key, nonces(ends && isLast));
      used += chunk.byteLength + tagBytes;
    }
    yield sealed;
  }
}

function encryptInto(sealed: Uint8Array, plain: Uint8Array, key: Uint8Array, nonce: Uint8Array): void {
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes });
  const encrypted = cipher.update(plain);
  sealed.set(encrypted);
  giveBack(encrypted);
  cipher.final(); // Empty: this cipher holds nothing back.
  sealed.set(cipher.getAuthTag(), plain.byteLength);
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
    const plain = Buffer.allocUnsafeSlow(bytes.byteLength);
    let used = 0;
    for (const [chunk, ends] of chunksOf(bytes, sealedBytes)) {
      const length = decryptInto(plain.subarray(used), chunk, key, nonces(ends && isLast), what);
      // Only an empty payload has an empty last chunk: there is one form for each stream.
      if (length === 0 && !isFirst) throw damaged(what);
      isFirst = false;
      used += length;
    }
    yield plain.subarray(0, used);
  }
}

/** Says how many bytes it gave. */
function decryptInto(plain: Uint8Array, sealed: Uint8Array, key: Uint8Array, nonce: Uint8Array, what: string): number {
  const length = sealed.byteLength - tagBytes;
  if (length < 0) throw damaged(what);
  try {
    const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes });
    decipher.setAuthTag(sealed.subarray(length));
    const decrypted = decipher.update(sealed.subarray(0, length));
    plain.set(decrypted);
    giveBack(decrypted);
    decipher.final(); // Empty as well, but it compares the tag.
    return length;
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
