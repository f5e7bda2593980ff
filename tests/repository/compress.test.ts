import { expect, test } from 'vitest';
import { zstdDecompressSync } from 'node:zlib';
import { Failure } from '../../src/core/failure.ts';
import { compressed } from '../../src/repository/compress.ts';

async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Chunks that are made in two buffers in turn: each is written over when the next but one is wanted. */
async function* inTwoBuffers(count: number, closed: () => void = () => undefined): AsyncIterable<Uint8Array> {
  const buffers = [Buffer.alloc(300_000), Buffer.alloc(300_000)];
  try {
    for (let index = 0; index < count; index += 1) yield buffers[index % 2]?.fill(`${index} `) ?? Buffer.alloc(0);
  } finally {
    closed();
  }
}

test('what is compressed is whole, though its chunks are written over as soon as the next but one is wanted', async () => {
  const expected = Buffer.concat(Array.from({ length: 40 }, (_, index) => Buffer.alloc(300_000).fill(`${index} `)));

  expect(zstdDecompressSync(await bytesOf(compressed(inTwoBuffers(40), 1))).equals(expected)).toBe(true);
});

test('an error of the source comes out as it is', async () => {
  const failure = new Failure('postgres', 'it is gone');
  const body = async function* () {
    yield* inTwoBuffers(3);
    throw failure;
  };

  await expect(bytesOf(compressed(body(), 1))).rejects.toBe(failure);
});

test('a source that nobody reads on is let go of', async () => {
  let isClosed = false;
  const source = inTwoBuffers(1_000_000, () => {
    isClosed = true;
  });
  for await (const _chunk of compressed(source, 1)) break;

  expect(isClosed).toBe(true);
});
