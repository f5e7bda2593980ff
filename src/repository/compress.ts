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
  let giveUp: ((reason: Error) => void) | undefined;
  transform.once('close', () => giveUp?.(new Error('nobody reads what is compressed')));
  const write = async (chunk: Uint8Array) => {
    await new Promise<void>((resolve, reject) => {
      giveUp = reject;
      transform.write(chunk, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(error);
      });
    });
  };
  try {
    let writing: Promise<void> = Promise.resolve();
    for await (const chunk of body) {
      await writing;
      writing = write(chunk);
      writing.catch(() => undefined); // It is awaited, a chunk later.
    }
    await writing;
    transform.end();
  } catch (error) {
    transform.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}
