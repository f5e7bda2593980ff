import { execa } from 'execa';
import fc from 'fast-check';
import { zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { isFailure } from '../../src/core/failure.ts';
import { plainKeys } from '../../src/repository/keys.ts';
import {
  compressedAs,
  compressInOnePass,
  readSeal,
  sealOf,
  sealRoom,
  unsealed,
  type CompressedBody,
  type ReadInto,
  type Seal,
} from '../../src/repository/seal.ts';
import { storedChunks, storedForm } from '../../src/repository/stored-form.ts';
import { programBytes } from '../setup/program-bytes.ts';
import { bodyOf, bytes, noise } from '../storage/bytes.ts';

function sealed(plain: AsyncIterable<Uint8Array>, seal: Seal, level: number): AsyncIterable<Uint8Array> {
  return storedForm(plainKeys, seal, compressedAs(plain, seal, level));
}

async function sealInOnePass(read: ReadInto, length: number, level: number): Promise<CompressedBody> {
  const compressed = await compressInOnePass(read, length, level);
  return { seal: compressed.seal, chunks: [...(await storedChunks(plainKeys, compressed)).chunks] };
}

async function store(plain: Uint8Array, level = 1): Promise<Buffer> {
  return await bytes(sealed(bodyOf(plain), await sealOf(bodyOf(plain)), level));
}

async function opened(stored: Uint8Array, chunk = stored.byteLength): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < stored.byteLength; at += Math.max(1, chunk)) chunks.push(stored.subarray(at, at + chunk));
  return await bytes(unsealed(bodyOf(...chunks), 'wal/x'));
}

/** What came of reading: the plain bytes, or the failure. */
async function outcome(stored: Uint8Array): Promise<unknown> {
  return await opened(stored).catch((error: unknown) => error);
}

test('any bytes come back, at any level, in any chunks', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 2000 }), { maxLength: 5 }),
      fc.constantFrom(1, 3, 19),
      fc.integer({ min: 1, max: 700 }),
      async (chunks, level, size) => {
        const plain = Buffer.concat(chunks);
        const stored = await bytes(sealed(bodyOf(...chunks), await sealOf(bodyOf(...chunks)), level));

        expect((await opened(stored, size)).equals(plain)).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
});

/** Gives bytes as a file does that is read at once, up to so many a time; buffers that are not ours yet are written over. */
function readerOf(plain: Uint8Array, most = Number.POSITIVE_INFINITY): ReadInto {
  let at = 0;
  return async (buffer) => {
    buffer.fill(0xee);
    const piece = plain.subarray(at, at + Math.min(most, buffer.byteLength));
    buffer.set(piece);
    at += piece.byteLength;
    return piece.byteLength;
  };
}

test('what is sealed in one pass is what was read, however much faster it is read than compressed', async () => {
  const plain = noise(9 * 1024 * 1024 + 1);
  await Promise.all(
    [1, 19].map(async (level) => {
      const { seal, chunks } = await sealInOnePass(readerOf(plain), plain.byteLength, level);

      expect(seal).toEqual(await sealOf(bodyOf(plain)));
      expect((await opened(Buffer.concat(chunks))).equals(plain)).toBe(true);
    }),
  );
});

test('one pass and two passes store the same plain bytes, whatever a reading gives, and in buffers that were used before', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 5000 }),
      fc.integer({ min: 1, max: 6000 }),
      fc.constantFrom(1, 3),
      async (plain, most, level) => {
        const { seal, chunks } = await sealInOnePass(readerOf(plain, most), plain.byteLength, level);

        expect(seal).toEqual(await sealOf(bodyOf(plain)));
        expect((await opened(Buffer.concat(chunks))).equals(plain)).toBe(true);
      },
    ),
    { numRuns: 100 },
  );
});

test.each([
  ['longer', 1],
  ['shorter', -1],
])('what turns out %s than it was is damaged, and seals nothing', async (_name, difference) => {
  const plain = noise(3 * 1024 * 1024);

  await expect(sealInOnePass(readerOf(plain), plain.byteLength - difference, 1)).rejects.toMatchObject({
    kind: 'damaged',
    message: `the file that is being stored is not ${plain.byteLength - difference} bytes long`,
  });
});

test('a reading that fails is the failure, and the next seal is whole', async () => {
  const plain = noise(2 * 1024 * 1024);
  let times = 0;
  const failing: ReadInto = async (buffer) => {
    times += 1;
    if (times > 1) throw new Error('the disk is gone');
    return buffer.byteLength;
  };

  await expect(sealInOnePass(failing, plain.byteLength, 1)).rejects.toThrow('the disk is gone');
  const { chunks } = await sealInOnePass(readerOf(plain), plain.byteLength, 1);
  expect((await opened(Buffer.concat(chunks))).equals(plain)).toBe(true);
});

const contents: readonly (readonly [string, Buffer])[] = [
  ['nothing', Buffer.alloc(0)],
  ['one byte', Buffer.from('x')],
  ['64 KiB of zeros', Buffer.alloc(65_536)],
  ['128 KiB and a byte of noise', noise(131_073)],
  ['a segment of noise', noise(16 * 1024 * 1024)],
  ['a segment of zeros', Buffer.alloc(16 * 1024 * 1024)],
];

test.each(contents)('zstd -dc and zstd -t read our object of %s, which is one frame', async (_name, plain) => {
  const chunks = Array.from({ length: Math.ceil(plain.byteLength / 65_536) }, (_, at) =>
    plain.subarray(at * 65_536, (at + 1) * 65_536),
  );
  const stored = await bytes(sealed(bodyOf(...chunks), await sealOf(bodyOf(plain)), 1));

  const read = await programBytes('zstd', ['-dcq'], stored);
  await execa('zstd', ['-tq', '-'], { input: stored });

  expect(plain.equals(read)).toBe(true);
  // node:zlib has been seen to add an empty frame of its own (nodejs/node#66078): a second magic number would show it.
  const body = stored.subarray(readSeal(stored, 'x').bodyAt);
  expect(body.indexOf(Buffer.from('28b52ffd', 'hex'))).toBe(0);
  expect(body.indexOf(Buffer.from('28b52ffd', 'hex'), 1)).toBe(-1);
});

test('the frame of an object says its length and carries a checksum', async () => {
  const stored = await store(noise(70_000));

  const descriptor = stored[readSeal(stored, 'x').bodyAt + 4] ?? 0;
  expect(descriptor & 0b100, 'content checksum flag').toBe(0b100);
  expect(descriptor >> 6, 'frame content size flag').toBeGreaterThan(0);
});

test('an object cut at any byte is damaged', async () => {
  const stored = await store(noise(300));

  for (let length = 0; length < stored.byteLength; length += 1) {
    expect(isFailure(await outcome(stored.subarray(0, length)), 'damaged'), `${length} bytes`).toBe(true);
  }
});

test.each([
  ['a zero byte', Buffer.from([0])],
  ['text', Buffer.from('and more')],
  ['many bytes', noise(200_000)],
  ['another frame', zstdCompressSync(Buffer.from('more'))],
  ['itself', undefined],
])('an object with %s after its end is damaged', async (_name, more) => {
  const stored = await store(noise(100_000));

  expect(isFailure(await outcome(Buffer.concat([stored, more ?? stored])), 'damaged')).toBe(true);
});

test.each([17, 100, 4096, 65_536])('what comes in chunks of %i bytes after the end is damaged too', async (size) => {
  const stored = Buffer.concat([await store(noise(50_000)), Buffer.alloc(100)]);

  await expect(opened(stored, size)).rejects.toMatchObject({ kind: 'damaged' });
});

test('an object with any one byte changed is damaged, or gives the same plain bytes: never others', async () => {
  const plain = Buffer.from('landscape '.repeat(40));
  const stored = await store(plain);
  let damaged = 0;

  for (let at = 0; at < stored.byteLength; at += 1) {
    for (const bit of [0x01, 0x10, 0x80]) {
      const changed = Buffer.from(stored);
      changed[at] = (changed[at] ?? 0) ^ bit;
      const read = await outcome(changed);
      if (isFailure(read, 'damaged')) damaged += 1;
      else expect(Buffer.isBuffer(read) && read.equals(plain), `byte ${at}: ${String(read)}`).toBe(true);
    }
  }
  // Of a frame's header a few bits mean nothing to a decoder.
  expect(damaged).toBeGreaterThan(stored.byteLength * 3 - 10);
});

test('another whole frame behind the seal is damaged: what decompresses is not yet what was stored', async () => {
  const stored = await store(Buffer.from('the right bytes'));
  const seal = stored.subarray(0, readSeal(stored, 'x').bodyAt);

  for (const other of ['the wrong bytes', 'the right', 'the right bytes and more']) {
    await expect(opened(Buffer.concat([seal, zstdCompressSync(Buffer.from(other))]))).rejects.toMatchObject({
      kind: 'damaged',
    });
  }
});

test.each([
  ['a plain zstd frame', zstdCompressSync(Buffer.from('x'))],
  ['nothing', Buffer.alloc(0)],
  ['zeros', Buffer.alloc(1000)],
  ['a seal that claims to be longer than any', Buffer.from('502a4d18ffffff7f', 'hex')],
  ['a seal of a later format', sealWith('{"format":2,"length":1,"sha256":"' + 'a'.repeat(64) + '"}')],
  ['a seal that is no JSON', sealWith('{{{')],
])('%s is no object of ours: damaged', async (_name, stored) => {
  await expect(opened(stored)).rejects.toMatchObject({ kind: 'damaged', message: expect.stringContaining('wal/x') });
});

function sealWith(json: string): Buffer {
  const head = Buffer.from('502a4d1800000000', 'hex');
  head.writeUInt32LE(json.length, 4);
  return Buffer.concat([head, Buffer.from(json), zstdCompressSync(Buffer.from('x'))]);
}

test('the seal is read from the first bytes alone', async () => {
  const plain = noise(100_000);
  const stored = await store(plain);

  expect(readSeal(stored.subarray(0, sealRoom), 'x').seal).toEqual(await sealOf(bodyOf(plain)));
});

test.each([
  ['other bytes', Buffer.from('changed!')],
  ['fewer bytes', Buffer.from('short')],
  ['more bytes', Buffer.from('original and more')],
])('a file that has %s than when it was sealed is not stored', async (_name, now) => {
  const seal = await sealOf(bodyOf('original'));

  await expect(bytes(sealed(bodyOf(now), seal, 1))).rejects.toBeInstanceOf(Error);
});

test('an error of the source is passed on as it is, while sealing and while reading', async () => {
  const error = new Error('the source broke');
  const stored = await store(noise(500_000));
  const broken = async function* (begin: Uint8Array) {
    yield begin;
    throw error;
  };

  await expect(bytes(sealed(broken(Buffer.from('x')), await sealOf(bodyOf('xy')), 1))).rejects.toBe(error);
  await expect(bytes(unsealed(broken(stored.subarray(0, 300_000)), 'x'))).rejects.toBe(error);
});

test.each([
  ['whole', 0],
  ['with a broken seal', 3],
])('a source is closed when its reader stops early or the object is %s', async (_name, at) => {
  const stored = await store(noise(500_000));
  if (at > 0) stored[at] = 0;
  let closed = 0;
  const watched = async function* () {
    try {
      for (let from = 0; from < stored.byteLength; from += 10_000) yield stored.subarray(from, from + 10_000);
    } finally {
      closed += 1;
    }
  };

  const read = async () => {
    for await (const chunk of unsealed(watched(), 'x')) if (chunk.byteLength > 0) break;
  };
  await read().catch(() => undefined);

  expect(closed).toBe(1);
});

test('the level reaches the compressor: 19 is smaller than 1', async () => {
  const plain = Buffer.from(
    Array.from({ length: 20_000 }, (_, at) => `row ${at % 977} of table ${at % 31}\n`).join(''),
  );

  expect((await store(plain, 19)).byteLength).toBeLessThan((await store(plain, 1)).byteLength);
});
