import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stepTeller, stepText, type ToldStep } from '../../src/core/job-text.ts';

const mebibyte = 1024 * 1024;

test.each<[string, ToldStep]>([
  ['checking', { phase: 'checking' }],
  ['recovery: 16/B374D848', { phase: 'recovery', note: '16/B374D848' }],
  ['reading: 3.0 MiB', { phase: 'reading', bytes: 3 * mebibyte }],
  ['reading: 3.0 MiB', { phase: 'reading', bytes: 3 * mebibyte, estimatedBytes: 0 }],
  ['copying: 1.0 MiB of 4.0 MiB (25 %)', { phase: 'copying', bytes: mebibyte, estimatedBytes: 4 * mebibyte }],
  ['copying: 9.0 MiB of 4.0 MiB (100 %)', { phase: 'copying', bytes: 9 * mebibyte, estimatedBytes: 4 * mebibyte }],
  ['copying: 5 B', { phase: 'copying', bytes: 5, bytesPerSecond: null, secondsLeft: Infinity }],
  [
    'copying: 1.0 MiB of 4.0 MiB (25 %), 512 KiB/s, 6 s left, 300 KiB sent',
    {
      phase: 'copying',
      bytes: mebibyte,
      estimatedBytes: 4 * mebibyte,
      bytesPerSecond: mebibyte / 2,
      secondsLeft: 6,
      note: '300 KiB sent',
    },
  ],
])('a step reads %j', (text, step) => {
  expect(stepText(step)).toBe(text);
});

test('who follows a job is told of every phase that lasts, and of more of the same every few seconds', () => {
  const moment = fc.record({
    phase: fc.constantFrom('a', 'b', 'c'),
    bytes: fc.nat(20),
    ms: fc.integer({ min: 300, max: 900 }),
  });
  fc.assert(
    fc.property(fc.array(moment, { maxLength: 200 }), (moments) => {
      const tell = stepTeller();
      let now = 0;
      let last: { at: number; phase: string; text: string } | undefined;
      let since = { phase: '', at: 0, told: true };
      for (const { phase, bytes, ms } of moments) {
        now += ms;
        if (phase !== since.phase) {
          // A phase that was there for two seconds has been told, or is the one that was told last.
          if (now - since.at > 2000) expect(since.told).toBe(true);
          since = { phase, at: now, told: last?.phase === phase };
        }
        const text = tell({ phase, bytes }, now);
        if (text === undefined) continue;
        since.told = true;
        if (last !== undefined) {
          expect(now - last.at).toBeGreaterThanOrEqual(phase === last.phase ? 5000 : 1000);
          expect(text).not.toBe(last.text);
        }
        last = { at: now, phase, text };
      }
    }),
  );
});
