import { test } from 'vitest';
import { tellHistories } from './doubled-story.ts';

test('hundreds of histories of a unit with two destinations lose nothing', async () => {
  await tellHistories(500);
}, 3_600_000);
