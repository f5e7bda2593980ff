import { expect, test } from 'vitest';
import { encryptionOptions, newAgeKey } from '../setup/age.ts';
import { killArchiveWal } from './kill-story.ts';

const key = newAgeKey();

test.each([
  ['as it is', undefined],
  // The identity lies in the settings: the story opens what is stored after each kill.
  ['encrypted', encryptionOptions([key], [key])],
])(
  'archive-wal killed at 20 random instants leaves no hole and nothing torn, stored %s',
  { timeout: 480_000 },
  async (_how, encryption) => {
    const seed = Number(process.env['KILL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    process.stdout.write(`archive-wal kills: KILL_SEED=${seed}\n`);

    const story = await killArchiveWal(process.env['LANDSCAPE_BACKUP_TEST_RUNTIME'] ?? '', 20, seed, encryption);

    process.stdout.write(`${JSON.stringify(story)}\n`);
    expect(story.killed).toBeGreaterThan(0);
  },
);
