import { constants, createZstdCompress, type ZstdCompress } from 'node:zlib';

/**
 * Compresses a stream that is made as it is read into one zstd frame with a content checksum.
 *
 * While a chunk is compressed the next one is asked for, but not one more: whoever makes the chunks may write into one again
 * as soon as the next but one is wanted. An error of the source is passed on as it is.
 */
export async function* compressed(body: AsyncIterable<Uint8Array>, level: number): AsyncIterable<Uint8Array> {
  const transform = createZstdCompress({
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const fed = feed(body, transform);
  try {
    for await (const chunk of transform) {
      if (chunk instanceof Uint8Array) yield chunk; // Without objectMode it gives nothing else.
    }
  } finally {
    transform.destroy();
    await fed;
  }
}

/** Resolves when the source has ended or is let go of; what went wrong comes out of the transform. */
async function feed(body: AsyncIterable<Uint8Array>, transform: ZstdCompress): Promise<void> {
  const closed = new Promise<never>((_, reject) => {
    transform.once('close', () => {
      reject(new Error('nobody reads what is compressed'));
    });
  });
  closed.catch(() => undefined); // At the end it closes as well.
  try {
    let writing: Promise<unknown> = Promise.resolve();
    for await (const chunk of body) {
      await writing;
      writing = Promise.race([writeChunk(transform, chunk), closed]);
      writing.catch(() => undefined); // It is awaited, a chunk later.
    }
    await writing;
    transform.end();
  } catch (error) {
    transform.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

/** Gives a compressor bytes; resolves when it has done with them, so that they may be written over. */
export async function writeChunk(compress: ZstdCompress, chunk: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    compress.write(chunk, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
