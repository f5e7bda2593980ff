import { expect, test } from 'vitest';
import { killArchiveWal } from './kill-story.ts';

test('archive-wal killed at 20 random instants leaves no hole and nothing torn', async () => {
  const seed = Number(process.env['KILL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  process.stdout.write(`archive-wal kills: KILL_SEED=${seed}\n`);

  const story = await killArchiveWal(process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] ?? '', 20, seed);

  process.stdout.write(`${JSON.stringify(story)}\n`);
  expect(story.killed).toBeGreaterThan(0);
});
