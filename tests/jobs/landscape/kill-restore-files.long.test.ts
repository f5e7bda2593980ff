import { afterAll, beforeAll, describe, test } from 'vitest';
import { isRoot } from '../../setup/landscape-unit.ts';
import { makeKillSite, tellKillStory, type KillSite } from './kill-story.ts';

describe.skipIf(!isRoot)('a restore of files that is killed before each of its changes', () => {
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
    for (let at = 1; at <= changes; at += 1) {
      await tellKillStory(site, { killed, at, next }).catch((error: unknown) => {
        throw new Error(`killed during ${killed} before change ${at} of ${changes}`, { cause: error });
      });
    }
  });
});
