import { afterEach, beforeEach, expect, test } from 'vitest';
import { stepText } from '../../src/core/job-text.ts';
import { formatBytes } from '../../src/core/words.ts';
import type { JobProgress } from '../../src/jobs/job-progress.ts';
import { makeRewrapSite, plan, run, type RewrapSite } from './rewrap-site.ts';

let site: RewrapSite;
beforeEach(async () => {
  site = await makeRewrapSite();
});
afterEach(async () => {
  await site.destroy();
});

test('a re-encryption goes no faster than the upload limit, and tells how far it is, up to all of it', async () => {
  const puts: { readonly key: string; readonly isPaced: boolean }[] = [];
  const steps: JobProgress[] = [];
  const told = await site.context({
    wrap: (storage) => ({
      ...storage,
      put: async (key, body, pace) => {
        puts.push({ key, isPaced: pace !== undefined });
        await storage.put(key, body, pace);
      },
    }),
  });
  const { backups, wal, fileSets } = await plan(told);
  const bytes = backups.bytes + wal.bytes + fileSets.bytes;
  const context = {
    ...told,
    settings: { uploadBytesPerSecond: bytes },
    progress: (step: JobProgress) => void steps.push(step),
  };
  const began = performance.now();

  expect(await run(context)).toMatchObject({ is: 'rewrapped', rewrapped: { storedBytes: bytes } });

  expect(performance.now() - began).toBeGreaterThan(800);
  const made = puts.filter(({ key }) => key.includes('.2.age'));
  expect(made).toHaveLength(backups.objects + wal.objects + fileSets.objects);
  expect(made.filter(({ isPaced }) => !isPaced)).toEqual([]);
  const all = formatBytes(bytes);
  expect(steps[0]).toMatchObject({ phase: 'looking at what is stored' });
  expect(stepText(steps[0] ?? { phase: '' })).toMatch(/^looking at what is stored: \d+(?:\.\d)? \S+$/);
  expect(stepText(steps.at(-1) ?? { phase: '' })).toMatch(`encrypting anew: ${all} of ${all} (100 %)`);
  const renewing = steps.filter(({ phase }) => phase === 'encrypting anew').map((step) => step.bytes ?? 0);
  expect(renewing).toEqual(renewing.toSorted((a, b) => a - b));
  expect(renewing[0]).toBeLessThan(bytes);
});
