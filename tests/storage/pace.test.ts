import fc from 'fast-check';
import { expect, test } from 'vitest';
import { makePace } from '../../src/storage/pace.ts';

/** A clock that only the waiting moves, and that wakes late by as much as it is told. */
function fakeTime(lateMs = 0) {
  let now = 1_000_000;
  return {
    nowMs: () => now,
    sleep: async (ms: number) => {
      now += ms + lateMs;
    },
    pass: (ms: number) => {
      now += ms;
    },
  };
}

test.each([
  [1_000_000, 65_536],
  [20_000_000, 1_048_576],
  [1_000_000_000, 131_072],
  [1_000_000, 8_388_608],
])('at %i bytes a second a body in chunks of %i takes its time, however late the timers are', async (rate, chunk) => {
  for (const lateMs of [0, 3, 20]) {
    const time = fakeTime(lateMs);
    const pace = makePace(rate, time);
    const began = time.nowMs();
    const chunks = Math.ceil((rate * 20) / chunk);

    for (let sent = 0; sent < chunks; sent += 1) await pace.take(chunk);

    const seconds = (time.nowMs() - began) / 1000;
    const right = (chunks * chunk) / rate;
    // The last chunk is not waited for, and what leaves at once in the beginning is a tenth of a second's.
    expect(seconds).toBeGreaterThan(right - chunk / rate - 0.11);
    expect(seconds).toBeLessThan(right + 0.05);
  }
});

test('in no stretch of time leaves more than the rate allows, a tenth of a second and one chunk on top', async () => {
  const step = fc.record({ bytes: fc.integer({ min: 1, max: 2_000_000 }), idleMs: fc.integer({ min: 0, max: 3000 }) });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 100 }), fc.array(step, { maxLength: 30 }), async (megabytes, steps) => {
      const time = fakeTime(1);
      const rate = megabytes * 1_000_000;
      const pace = makePace(rate, time);
      const sent: { at: number; bytes: number }[] = [];
      for (const { bytes, idleMs } of steps) {
        time.pass(idleMs);
        await pace.take(bytes);
        sent.push({ at: time.nowMs(), bytes });
      }
      for (const [first, from] of sent.entries()) {
        let total = 0;
        for (const { at, bytes } of sent.slice(first)) {
          const allowed = (rate * (at - from.at + 100 + 5)) / 1000;
          expect(total).toBeLessThanOrEqual(allowed);
          total += bytes;
        }
      }
    }),
  );
});

test('those who take at once share the rate', async () => {
  const waits: number[] = [];
  const pace = makePace(1_000_000, {
    nowMs: () => 0,
    sleep: async (ms) => {
      waits.push(ms);
    },
  });

  await Promise.all([1, 2, 3, 4].map(async () => await pace.take(1_000_000)));

  expect(waits).toEqual([900, 1900, 2900]);
});
