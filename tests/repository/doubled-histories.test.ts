import { test } from 'vitest';
import { tellHistories } from './doubled-story.ts';

test('whatever is wrong with either destination, and wherever the unit is killed, what was told as stored is somewhere, what one lacks is noted, and is brought over', async () => {
  await tellHistories(40);
}, 600_000);
