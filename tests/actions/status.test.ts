import { expect, test } from 'vitest';
import { status } from '../../src/actions/status.ts';
import { DoubleMachine } from '../hooks/double-machine.ts';
import { snapshotOf, tools } from './action-call.ts';

test('a Landscape unit’s status tells all that is to be said of its second destination', async () => {
  const snapshot = snapshotOf(['landscape']);
  const second = ['attention', 'ok'].map((level) => ({
    level: level === 'ok' ? ('ok' as const) : ('attention' as const),
    text: `files: the second destination is ${level}`,
    next: 'landscape-backup run-due-files',
  }));
  const files = { fenced: false, keptAt: new Date(0), count: 3, missing: [], failure: null, second };
  const machine = new DoubleMachine('landscape-backup/0', {}).toUnitMachine();
  const local = { ...snapshot.local, landscape: { published: null, files } };

  const { text, json } = await status.run({ tools, machine, snapshot: { ...snapshot, local }, params: {} });

  for (const { level } of second) expect(text).toContain(`\n${level}: files: the second destination is ${level}\n`);
  expect(text).toContain('next: juju ssh landscape-backup/0 sudo landscape-backup run-due-files');
  expect(json).toMatchObject({ files: { second } });
});
