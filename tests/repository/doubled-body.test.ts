import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Failure } from '../../src/core/failure.ts';
import { putDoubled } from '../../src/repository/doubled-body.ts';
import { bytes } from '../storage/bytes.ts';

const pieces = [Buffer.from('one '), Buffer.from('two '), Buffer.from('three')];

/** A body whose buffer is used again for each piece, as the compressor's are. */
async function* reused(): AsyncIterable<Uint8Array> {
  const buffer = Buffer.alloc(8);
  for (const piece of pieces) {
    piece.copy(buffer);
    yield buffer.subarray(0, piece.byteLength);
  }
}

const taking = (into: { all?: Buffer }) => async (body: AsyncIterable<Uint8Array>) => {
  into.all = await bytes(body);
};
const anyway = (): void => undefined;

test('both get the whole body, whoever uses its buffers again', async () => {
  const [first, second] = [{ all: Buffer.alloc(0) }, { all: Buffer.alloc(0) }];

  const done = await putDoubled(
    reused(),
    { put: taking(first), stallMs: 5000 },
    { put: taking(second), stallMs: 5000 },
    anyway,
  );

  expect([first.all.toString(), second.all.toString(), done.sizeBytes]).toEqual(['one two three', 'one two three', 13]);
});

test('the second finishes only when the first has ended, and not where that says no', async () => {
  const order: string[] = [];
  const first = async (body: AsyncIterable<Uint8Array>) => {
    await bytes(body);
    await sleep(30);
    order.push('first');
    throw new Failure('conflict', 'taken');
  };
  const second = async (body: AsyncIterable<Uint8Array>) => {
    await bytes(body);
    order.push('second');
  };

  const done = await putDoubled(reused(), { put: first, stallMs: 5000 }, { put: second, stallMs: 5000 }, (outcome) => {
    if (outcome.is === 'failed') throw outcome.failure;
  });

  expect(order).toEqual(['first']);
  expect([done.first.is, done.second.is]).toEqual(['failed', 'failed']);
});

test('who was given up, and goes on all the same, never takes a part for the whole', async () => {
  const release = Promise.withResolvers<void>();
  const late = Promise.withResolvers<string>();
  const hanging = async (body: AsyncIterable<Uint8Array>) => {
    await release.promise;
    late.resolve(
      await bytes(body).then(
        (whole) => `stored ${whole.toString()}`,
        () => 'nothing',
      ),
    );
  };
  const first: { all?: Buffer } = {};
  // It ends after the other was given up.
  const slow = async function* () {
    yield* reused();
    await sleep(200);
    yield Buffer.from(' four');
  };

  const done = await putDoubled(slow(), { put: taking(first), stallMs: 5000 }, { put: hanging, stallMs: 20 }, anyway);
  release.resolve();

  expect(first.all?.toString()).toBe('one two three four');
  expect(done.second).toMatchObject({ is: 'failed', failure: { kind: 'unavailable' } });
  expect(await late.promise).toBe('nothing');
});

test('an error of the body itself is passed on, and neither stores anything', async () => {
  const broken = async function* () {
    yield Buffer.from('half');
    throw new Failure('damaged', 'it changed while it was read');
  };
  const [first, second]: { all?: Buffer }[] = [{}, {}];

  const doing = putDoubled(
    broken(),
    { put: taking(first ?? {}), stallMs: 5000 },
    { put: taking(second ?? {}), stallMs: 5000 },
    anyway,
  );

  await expect(doing).rejects.toMatchObject({ kind: 'damaged' });
  expect([first, second]).toEqual([{}, {}]);
});
