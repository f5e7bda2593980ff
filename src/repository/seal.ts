import { createHash } from 'node:crypto';
import { finished, pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { constants, createZstdCompress, createZstdDecompress, type ZstdCompress, type ZstdDecompress } from 'node:zlib';
import * as z from 'zod';
import { Failure } from '../core/failure.ts';
import { stretchBytes } from './age-stream.ts';
import { writeChunk } from './compress.ts';
import { parseJson } from '../system/files.ts';

/** What the plain bytes of a sealed object are; it can be read without decompressing. */
export const sealSchema = z.object({
  format: z.literal(1),
  length: z.number().int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type Seal = z.infer<typeof sealSchema>;

type ZstdTransform = ZstdCompress | ZstdDecompress;

/**
 * How much a transform gives out at once: with Node's own 16 KiB a segment is a thousand turns of the event loop. What it
 * encrypts to is as long, and finds room where compressed chunks were: a hole a little smaller would stay one.
 */
const chunkSize = stretchBytes;

// A zstd skippable frame: decoders pass over it (tried with `zstd -dc`). Source: RFC 8878, section 3.1.2.
const skippableMagic = 0x184d2a50;
/** How many bytes from the beginning of a sealed object are enough to read its seal. */
export const sealRoom = 512;

/** The SHA-256 and the length of a stream of plain bytes. */
export async function sealOf(plain: AsyncIterable<Uint8Array>): Promise<Seal> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of plain) {
    hash.update(chunk);
    length += chunk.byteLength;
  }
  return { format: 1, length, sha256: hash.digest('hex') };
}

/** Tells whether two are of the same bytes. */
export function isSameSeal(one: Pick<Seal, 'length' | 'sha256'>, other: Pick<Seal, 'length' | 'sha256'>): boolean {
  return one.length === other.length && one.sha256 === other.sha256;
}

/** Reads a stream to its end for what it says of itself: it fails before that where its bytes are not what they were. */
export async function readToEnd(stream: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _chunk of stream);
}

/**
 * Plain bytes as one zstd frame with a content checksum.
 *
 * The plain bytes are hashed again on the way; when they are not those of the seal (a file changed while it was read) the
 * stream fails with `damaged` before its end, so that a put of it stores nothing.
 */
export async function* compressedAs(
  plain: AsyncIterable<Uint8Array>,
  seal: Seal,
  level: number,
): AsyncIterable<Uint8Array> {
  yield* through(checked(plain, seal, 'the file that is being stored'), compressor(seal.length, level));
}

/** A compressed body, and the seal of what it was made of. */
export interface CompressedBody {
  readonly seal: Seal;
  /** Each lies in memory of its own, or shares it with those beside it. */
  readonly chunks: Uint8Array[];
}

/** Fills a buffer with the next plain bytes and says how many they are; 0 at the end. */
export type ReadInto = (buffer: Uint8Array) => Promise<number>;

/** Kept for the next pass: fresh ones for every segment cost more in garbage collection than compressing them. */
const spareBuffers: Uint8Array[] = [];
const readSize = 1024 * 1024;
const mostSpare = 8;

/**
 * The same frame, made while the plain bytes are read once: each chunk is hashed while it is compressed, and what is
 * compressed waits in memory until the seal is known. For bytes whose length fits there; another length is `damaged`.
 */
export async function compressInOnePass(read: ReadInto, length: number, level: number): Promise<CompressedBody> {
  const buffers = [takeBuffer(), takeBuffer()];
  const compress = compressor(length, level);
  const chunks: Uint8Array[] = [];
  compress.on('data', (chunk: Uint8Array) => chunks.push(chunk));
  const ended = finished(compress);
  ended.catch(() => undefined); // Awaited below; a failed reading comes first.
  const hash = createHash('sha256');
  let total = 0;
  let written: Promise<unknown> = Promise.resolve();
  try {
    for (let turn = 0; ; turn += 1) {
      const buffer = buffers[turn % 2] ?? takeBuffer();
      const count = await read(buffer);
      if (count === 0) break;
      total += count;
      if (total > length) break;
      const chunk = buffer.subarray(0, count);
      // The other buffer is free when what was written from it has been compressed.
      await written;
      written = Promise.race([writeChunk(compress, chunk), ended]);
      written.catch(() => undefined);
      hash.update(chunk);
    }
    await written;
    if (total !== length) throw new Failure('damaged', `the file that is being stored is not ${length} bytes long`);
    compress.end();
    await ended;
    spareBuffers.push(...buffers.slice(0, mostSpare - spareBuffers.length));
  } finally {
    // After a failure the buffers may still be read by the compressor: they are not used again.
    compress.destroy();
  }
  return { seal: { format: 1, length, sha256: hash.digest('hex') }, chunks };
}

function takeBuffer(): Uint8Array {
  return spareBuffers.pop() ?? Buffer.allocUnsafeSlow(readSize);
}

/**
 * What level 1 means here: with a table and a window that stay in a core's cache WAL takes a fifth less processor time, and
 * is 1.8 % longer. `tests/bench/README.md` has the numbers.
 */
const quickest = { [constants.ZSTD_c_windowLog]: 17, [constants.ZSTD_c_hashLog]: 13 };

function compressor(length: number, level: number): ZstdCompress {
  // No nbWorkers: with them node:zlib breaks or makes several frames, and its decoder reads the first one only.
  return createZstdCompress({
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
      ...(level === 1 ? quickest : {}),
    },
    pledgedSrcSize: length,
    chunkSize,
  });
}

/** The seal as a zstd skippable frame, which decoders pass over. */
export function sealFrame(seal: Seal): Uint8Array {
  const json = Buffer.from(JSON.stringify(seal));
  const head = Buffer.alloc(8);
  head.writeUInt32LE(skippableMagic, 0);
  head.writeUInt32LE(json.byteLength, 4);
  return Buffer.concat([head, json]);
}

/** Reads the seal from the first bytes of a sealed object, and says where the compressed frame begins. */
export function readSeal(bytes: Uint8Array, key: string): { readonly seal: Seal; readonly bodyAt: number } {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (head.byteLength < 8 || head.readUInt32LE(0) !== skippableMagic) {
    throw new Failure('damaged', `the object ${key} does not begin with its seal`);
  }
  const bodyAt = 8 + head.readUInt32LE(4);
  if (bodyAt > head.byteLength || bodyAt > sealRoom)
    throw new Failure('damaged', `the seal of the object ${key} is cut off`);
  return { seal: parseJson(head.toString('utf8', 8, bodyAt), sealSchema, `the seal of the object ${key}`), bodyAt };
}

/**
 * The plain bytes of a sealed object, compared with its seal: the stream fails with `damaged` at the first byte that can't
 * be right, and before its end when length or SHA-256 differ. Only a stream that ends by itself was right.
 */
export async function* unsealed(stored: AsyncIterable<Uint8Array>, key: string): AsyncIterable<Uint8Array> {
  const source = stored[Symbol.asyncIterator]();
  try {
    let first: Uint8Array = new Uint8Array();
    while (first.byteLength < sealRoom) {
      const next = await source.next();
      if (next.done === true) break;
      first = Buffer.concat([first, next.value]);
    }
    const { seal, bodyAt } = readSeal(first, key);
    const rest = async function* () {
      yield first.subarray(bodyAt);
      yield* { [Symbol.asyncIterator]: () => source };
    };
    yield* decompressed(rest(), seal, key);
  } finally {
    await source.return?.(); // A seal that is none ends the reading here, and the object must not stay open.
  }
}

/** The plain bytes of a zstd frame, compared with their seal. Fails as `unsealed` does. */
export async function* decompressed(
  frame: AsyncIterable<Uint8Array>,
  seal: Seal,
  key: string,
): AsyncIterable<Uint8Array> {
  yield* checked(through(frame, createZstdDecompress({ chunkSize }), key), seal, `the object ${key}`);
}

/** Passes bytes on and fails before the end when they are not those of the seal. */
async function* checked(plain: AsyncIterable<Uint8Array>, seal: Seal, what: string): AsyncIterable<Uint8Array> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of plain) {
    hash.update(chunk);
    length += chunk.byteLength;
    if (length > seal.length) throw new Failure('damaged', `${what} is longer than its ${seal.length} bytes`);
    yield chunk;
  }
  if (length !== seal.length) throw new Failure('damaged', `${what} has ${length} bytes instead of ${seal.length}`);
  if (hash.digest('hex') !== seal.sha256) throw new Failure('damaged', `${what} has other bytes than its SHA-256 says`);
}

/**
 * Sends bytes through a transform of node:zlib; an error of a decoder is `damaged`, one of the source is passed on.
 *
 * `key` names the object that a decoder reads. What follows after its frames is `damaged` too: node:zlib stops there
 * without a word, where `zstd -dc` would fail.
 */
async function* through(
  source: AsyncIterable<Uint8Array>,
  transform: ZstdTransform,
  key?: string,
): AsyncIterable<Uint8Array> {
  let fromSource: { readonly error: unknown } | undefined;
  let given = 0;
  const watched = async function* () {
    try {
      for await (const chunk of source) {
        given += chunk.byteLength;
        yield chunk;
      }
    } catch (error) {
      fromSource = { error };
      throw error;
    }
  };
  const running = pipeline(Readable.from(watched(), { objectMode: false }), transform);
  running.catch(() => undefined); // The same error comes out of the transform below.
  try {
    for await (const chunk of transform) {
      if (chunk instanceof Uint8Array) yield chunk; // Without objectMode it gives nothing else.
    }
    await running;
  } catch (error) {
    if (fromSource !== undefined) throw fromSource.error;
    if (key === undefined || error instanceof Failure) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new Failure('damaged', `the object ${key} does not decompress: ${why}`, { cause: error });
  }
  if (key !== undefined && transform.bytesWritten !== given) {
    throw new Failure('damaged', `the object ${key} has ${given - transform.bytesWritten} bytes after its end`);
  }
}
