import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isRoot } from '../../setup/landscape-unit.ts';
import { makeKillSite, seeded, tellKillStory, type KillSite } from './kill-story.ts';

const kills = 5;

describe.skipIf(!isRoot)('a restore of files that is killed', () => {
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
  ] as const)(
    'during $killed is whole again after $next',
    async ({ killed, next }) => {
      const seed = Math.floor(Math.random() * 1e9);
      const chance = seeded(seed);
      const changes = await tellKillStory(site, { killed, at: undefined, next });
      expect(changes).toBeGreaterThan(30);
      for (let kill = 0; kill < kills; kill += 1) {
        const at = 1 + Math.floor(chance() * changes);
        await tellKillStory(site, { killed, at, next }).catch((error: unknown) => {
          throw new Error(`killed during ${killed} before change ${at} of ${changes} (seed ${seed})`, { cause: error });
        });
      }
    },
    600_000,
  );
});
