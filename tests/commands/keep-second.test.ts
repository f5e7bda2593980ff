import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { withSecondKept } from '../../src/commands/keep-second.ts';
import { parseSettings } from '../../src/core/settings.ts';
import { unitFolderAt } from '../../src/system/home.ts';
import { LackingFolder } from '../../src/system/lacking.ts';
import { fixedClock } from '../doubles/fixed-clock.ts';

test('where destination-2 was emptied it is told what is forgotten, and what is next', async () => {
  const home = await mkdtemp(join(tmpdir(), 'lb-second-'));
  try {
    const context = {
      home,
      unit: unitFolderAt(home),
      settings: parseSettings({ destination: join(home, 'first') }),
      clock: fixedClock(new Date(0)),
      signal: new AbortController().signal,
    };
    const folder = new LackingFolder(home);
    for (const key of ['one', 'two']) await folder.add('second', key, { sizeBytes: 1, lies: 'file:///first' });
    const due = async () => await Promise.resolve({ text: 'done', json: {} });

    const { text, json } = await withSecondKept(context, { fills: true }, due);

    expect(text).toMatch(
      /^done\nthe option destination-2 is empty: 2 objects that it lacked are forgotten\n {2}next: /,
    );
    expect(json).toEqual({ second: { is: 'dropped', objects: 2 } });
    expect((await withSecondKept(context, { fills: true }, due)).text).toBe('done');
  } finally {
    await rm(home, { recursive: true });
  }
});
