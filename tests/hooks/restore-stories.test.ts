import { expect, test } from 'vitest';
import { tellStories } from './restore-story.ts';

// A third of the 10,000 stories; one file per version of Juju, so that they are told side by side.
test('on Juju 3.6.27: whatever happens, a restore ends restored or abandoned on every unit, never half', async () => {
  const { restored, abandoned, ...others } = await tellStories('3.6.27', { worlds: 420, seed: 1 });

  expect(restored + abandoned + others['not begun']).toBe(3360);
  expect(restored).toBeGreaterThan(800);
  expect(abandoned).toBeGreaterThan(800);
}, 600_000);
