import { expect, test } from 'vitest';
import { tellStories } from './restore-story.ts';

/** A third of the 10,000 stories; each version of Juju has a file of its own, so that they are told side by side. */
export function testStories(version: string, seed: number): void {
  test(`on Juju ${version}: whatever happens, a restore ends restored or abandoned on every unit, never half`, async () => {
    const { restored, abandoned, ...others } = await tellStories(version, { worlds: 420, seed });

    expect(restored + abandoned + others['not begun']).toBe(3360);
    expect(restored).toBeGreaterThan(800);
    expect(abandoned).toBeGreaterThan(800);
  }, 600_000);
}
