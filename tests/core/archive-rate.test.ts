import { expect, test } from 'vitest';
import { addSample, rateSince, type ArchiveSample } from '../../src/core/archive-rate.ts';

const size = 16 * 1024 * 1024;
const sample = (minute: number, archived: number, segments: number): ArchiveSample => ({
  at: new Date(Date.UTC(2026, 10, 24, 3, 0) + minute * 60_000),
  archived,
  written: BigInt(segments * size),
});
const taken = (...samples: readonly ArchiveSample[]) =>
  samples.reduce<readonly ArchiveSample[]>((known, each) => addSample(known, each), []);

test('the rate is what was archived and written since the oldest sample', () => {
  const samples = taken(sample(0, 100, 1000), sample(1, 106, 1010), sample(2, 112, 1020));
  expect(rateSince(samples, sample(4, 120, 1032), size)).toEqual({ archived: 5, written: 8 });
});

test('one sample is no rate, and none is neither', () => {
  expect(rateSince([], sample(0, 1, 1), size)).toBeNull();
  expect(rateSince(taken(sample(0, 1, 1)), sample(0, 1, 1), size)).toBeNull();
});

test('who samples too often keeps a sample every 50 s, for a quarter of an hour', () => {
  let samples: readonly ArchiveSample[] = [];
  for (let tick = 0; tick < 40 * 6; tick += 1) samples = addSample(samples, sample(tick / 6, tick, tick));
  expect(samples).toHaveLength(18); // 900 s, 50 s apart.
  expect(samples[0]?.at.getTime()).toBeGreaterThanOrEqual(sample(24.8, 0, 0).at.getTime());
});

test.for<[string, ArchiveSample]>([
  ['a clock that is set back', sample(-60, 120, 1020)],
  ['a clock that is set forward', sample(600, 120, 1020)],
  ["the server's counters that begin anew", sample(3, 2, 1020)],
  ['WAL that begins anew', sample(3, 120, 5)],
])('after %s the rate begins anew', ([, now]) => {
  const samples = taken(sample(0, 100, 1000), sample(1, 106, 1010));
  expect(rateSince(samples, now, size)).toBeNull();
  expect(addSample(samples, now)).toEqual([now]);
});
