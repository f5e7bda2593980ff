import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pushQueue, type PushQueue, type Waiting } from '../../src/archiver/push-queue.ts';
import { segmentName, parseWalName } from '../../src/core/wal-name.ts';

const named = (numbers: readonly number[]) =>
  numbers.map((number) => parseWalName(segmentName(1, number, 16 * 1024 * 1024)));
const [five, six, seven, eight] = named([5, 6, 7, 8]).map(({ name }) => name);
const nothing: Waiting = { names: [], atOnce: 0 };

type End = 'stored' | 'changed' | Error;

/** A queue whose pushes end when the test says so. */
function heldQueue(first: Waiting, more: PushQueue['more'] = async () => nothing) {
  const stopping = new AbortController();
  const begun: string[] = [];
  const ends = new Map<string, (end: End) => void>();
  const push = async (name: string) => {
    begun.push(name);
    const end = await new Promise<End>((resolve) => ends.set(name, resolve));
    ends.delete(name);
    if (end instanceof Error) throw end;
    return end;
  };
  const pushed = pushQueue({
    first,
    more,
    push: async ({ name }) => await push(name),
    signal: stopping.signal,
  });
  const settle = async () => {
    await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    begun,
    pushed,
    settle,
    stop: () => {
      stopping.abort();
    },
    end: async (name: string | undefined, end: End) => {
      ends.get(name ?? '')?.(end);
      await settle();
    },
  };
}

test('what is known is begun in order, so many at once, and what comes next before the last ones have ended', async () => {
  const asked: (readonly string[])[] = [];
  const batches = [named([7, 8]), []];
  const queue = heldQueue({ names: named([5, 6]), atOnce: 2 }, async (underWay) => {
    asked.push([...underWay]);
    return { names: batches.shift() ?? [], atOnce: 3 };
  });
  await queue.settle();
  expect(queue.begun).toEqual([five, six, seven]);
  expect(asked).toEqual([[five, six]]);

  await queue.end(six, 'stored');
  expect(queue.begun).toEqual([five, six, seven, eight]);
  for (const name of [five, seven, eight]) await queue.end(name, 'stored');

  expect(await queue.pushed).toEqual({ stored: 4, failure: undefined });
});

test('while nothing more is there it is asked for again whenever one has ended', async () => {
  let isThere = false;
  const queue = heldQueue({ names: named([5, 6]), atOnce: 2 }, async (underWay) =>
    isThere && !underWay.has(seven ?? '') && !queue.begun.includes(seven ?? '')
      ? { names: named([7]), atOnce: 2 }
      : nothing,
  );
  await queue.settle();
  isThere = true;
  expect(queue.begun).toEqual([five, six]);

  await queue.end(five, 'stored');
  expect(queue.begun).toEqual([five, six, seven]);
  for (const name of [six, seven]) await queue.end(name, 'stored');

  expect((await queue.pushed).stored).toBe(3);
});

test('after a failure nothing is begun, all that is under way ends first, and the oldest of the failures is told', async () => {
  let asked = 0;
  const queue = heldQueue({ names: named([5, 6, 7]), atOnce: 2 }, async () => {
    asked += 1;
    return nothing;
  });
  await queue.settle();
  await queue.end(six, new Error('the later one'));
  await queue.end(five, new Error('the oldest'));

  expect(await queue.pushed).toMatchObject({ stored: 0, failure: { name: five, error: new Error('the oldest') } });
  expect(queue.begun).toEqual([five, six]);
  expect(asked).toBe(0);
});

test('a failure of asking for more is told without a name, when all that is under way has ended', async () => {
  const queue = heldQueue({ names: named([5]), atOnce: 2 }, async () => {
    throw new Error('the queue can’t be read');
  });
  await queue.settle();
  await queue.end(five, 'stored');

  expect(await queue.pushed).toMatchObject({ stored: 1, failure: { name: undefined } });
});

test('after a file that has changed what is known is still begun, and no more is asked for', async () => {
  let asked = 0;
  const queue = heldQueue({ names: named([5, 6]), atOnce: 1 }, async () => {
    asked += 1;
    return nothing;
  });
  await queue.settle();
  await queue.end(five, 'changed');
  await queue.end(six, 'stored');

  expect(await queue.pushed).toEqual({ stored: 1, failure: undefined });
  expect(asked).toBe(0);
});

test('after the signal nothing is begun, and what is under way is awaited', async () => {
  const queue = heldQueue({ names: named([5, 6]), atOnce: 1 });
  await queue.settle();
  queue.stop();
  await queue.end(five, 'stored');

  expect(await queue.pushed).toEqual({ stored: 1, failure: undefined });
  expect(queue.begun).toEqual([five]);
});

test('in whatever order they end, each is pushed once, in order, never more at once than told', async () => {
  const seed = Date.now() % 1_000_000;
  const turns = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 40 });
  const batches = fc.array(
    fc.record({ size: fc.integer({ min: 1, max: 6 }), atOnce: fc.integer({ min: 1, max: 4 }) }),
    {
      minLength: 1,
      maxLength: 5,
    },
  );
  const property = fc.asyncProperty(batches, turns, async (sizes, waits) => {
    let given = 0;
    const known: Waiting[] = sizes.map(({ size, atOnce }) => {
      given += size;
      return { names: named(Array.from({ length: size }, (_, index) => given - size + index)), atOnce };
    });
    const most = Math.max(...sizes.map(({ atOnce }) => atOnce));
    const all = known.flatMap(({ names }) => names.map(({ name }) => name));
    const begun: string[] = [];
    const underWay = new Set<string>();
    const { stored, failure } = await pushQueue({
      first: known.shift() ?? nothing,
      more: async (told) => {
        // Who has ended a moment ago may still be told.
        expect([...underWay].filter((name) => !told.has(name))).toEqual([]);
        expect([...told].filter((name) => !begun.includes(name))).toEqual([]);
        return known.shift() ?? nothing;
      },
      push: async ({ name }) => {
        begun.push(name);
        underWay.add(name);
        expect(underWay.size).toBeLessThanOrEqual(most);
        for (let wait = waits[begun.length % waits.length] ?? 0; wait > 0; wait -= 1) await Promise.resolve();
        underWay.delete(name);
        return 'stored';
      },
      signal: new AbortController().signal,
    });
    expect({ stored, failure, begun }).toEqual({ stored: all.length, failure: undefined, begun: all });
  });
  await fc.assert(property, { seed, numRuns: 200 });
});
