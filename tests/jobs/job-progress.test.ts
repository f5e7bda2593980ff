import { expect, test } from 'vitest';
import { makeMeter, type JobProgress } from '../../src/jobs/job-progress.ts';

/** A meter for a thousand bytes, its clock and what it told. */
function meter() {
  const told: JobProgress[] = [];
  const clock = { ms: 5000 };
  const tell = makeMeter(
    'sending',
    1000,
    () => clock.ms,
    (progress) => told.push(progress),
  );
  return { told, clock, tell };
}

test('it tells two times a second at most, with the rate and what is left as soon as they mean something', () => {
  const { told, clock, tell } = meter();

  for (let bytes = 0; bytes <= 500; bytes += 10) {
    tell(bytes, `${bytes} so`);
    clock.ms += 100;
  }

  expect(told).toHaveLength(11);
  expect(told[0]).toEqual({ phase: 'sending', bytes: 0, estimatedBytes: 1000, note: '0 so' });
  expect(told[3]).not.toHaveProperty('bytesPerSecond', expect.anything());
  expect(told[4]).toMatchObject({ bytes: 200, bytesPerSecond: 100, secondsLeft: 8, note: '200 so' });
});

test('the last bytes are told whenever they come', () => {
  const { told, tell } = meter();

  for (const bytes of [1, 2, 1000]) tell(bytes);

  expect(told.map(({ bytes }) => bytes)).toEqual([1, 1000]);
});
