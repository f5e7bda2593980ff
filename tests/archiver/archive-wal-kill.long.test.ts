import { expect, test } from 'vitest';
import { killArchiveWal } from './kill-story.ts';

test(
  'archive-wal killed at 200 random instants and more leaves no hole and nothing torn',
  { timeout: 900_000 },
  async () => {
    const seed = Number(process.env['KILL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    process.stdout.write(`archive-wal kills: KILL_SEED=${seed}\n`);

    const story = await killArchiveWal(process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] ?? '', 360, seed);

    process.stdout.write(`${JSON.stringify(story)}\n`);
    expect(story.killed).toBeGreaterThanOrEqual(200);
    expect(story.storedUnsaid).toBeGreaterThan(0);
  },
);
