import { afterAll, beforeAll, describe, test } from 'vitest';
import { isRoot } from '../../setup/landscape-unit.ts';
import { makeKillSite, tellKillStory, type KillSite } from './kill-story.ts';

/** How many kills a run tells of each story. */
const told = 12;

describe.skipIf(!isRoot)('a restore of files that is killed before any of its changes', () => {
  let site: KillSite;
  beforeAll(async () => {
    site = await makeKillSite();
  });
  afterAll(async () => {
    await site.remove();
  });

  test.each([
    { killed: 'restore', next: 'restore' },
    { killed: 'restore', next: 'abandon' },
    { killed: 'abandon', next: 'abandon' },
  ] as const)('during $killed is whole again after $next', { timeout: 3_600_000 }, async ({ killed, next }) => {
    const changes = await tellKillStory(site, { killed, at: undefined, next });
    // Every change would take an hour: each run takes others, evenly from the first to the last.
    const stride = Math.max(1, Math.ceil(changes / told));
    const first = 1 + (Date.now() % stride);
    for (let at = first; at <= changes; at += stride) {
      await tellKillStory(site, { killed, at, next }).catch((error: unknown) => {
        throw new Error(`killed during ${killed} before change ${at} of ${changes}`, { cause: error });
      });
    }
  });
});
