import { Failure, isFailure } from '../core/failure.ts';
import type { Storage } from '../storage/storage.ts';

/** A text, or bytes that are in memory anyway, as the body of a put. */
export async function* bytesOf(contents: string | Uint8Array): AsyncIterable<Uint8Array> {
  yield typeof contents === 'string' ? Buffer.from(contents) : contents;
}

/** All bytes of an object that nothing of ours makes larger than this; fails with `damaged` for a larger one. */
export async function collect(body: AsyncIterable<Uint8Array>, key: string, limitBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    if (length > limitBytes) throw new Failure('damaged', `the object ${key} is larger than any that we write there`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Stores something small, or finds the key taken; says whether it stored. */
export async function putUnlessThere(storage: Storage, key: string, contents: string | Uint8Array): Promise<boolean> {
  return await putOnce(storage, key, bytesOf(contents));
}

/** Stores a body of any length, or finds the key taken; says whether it stored. */
export async function putOnce(storage: Storage, key: string, body: AsyncIterable<Uint8Array>): Promise<boolean> {
  try {
    await storage.put(key, body);
    return true;
  } catch (error) {
    if (isFailure(error, 'conflict')) return false;
    throw error;
  }
}
