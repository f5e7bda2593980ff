import { describe, expect, test } from 'vitest';
import { inJujuWords, jujuRun } from '../../src/core/juju-words.ts';

const to = { unit: 'landscape-backup/0', jujuVersion: '3.6.27' };
const old = { unit: 'landscape-backup/0', jujuVersion: '2.9.49' };

test('an action is run as the version of Juju wants it', () => {
  expect(jujuRun(to, 'backup', 'label=x')).toBe('juju run landscape-backup/0 backup label=x');
  expect(jujuRun(old, 'backup')).toBe('juju run-action landscape-backup/0 backup --wait');
});

describe('a hint of the command becomes what an operator of Juju types', () => {
  test.each([
    ['landscape-backup backup', 'juju run landscape-backup/0 backup'],
    [
      'A new backup is taken by itself; landscape-backup backup takes it now.',
      'A new backup is taken by itself; juju run landscape-backup/0 backup takes it now.',
    ],
    [
      'Go on: landscape-backup restore --continue. Or go back: landscape-backup abandon-restore.',
      'Go on: juju run landscape-backup/0 restore confirm=<plan id>. Or go back: juju run landscape-backup/0 abandon-restore.',
    ],
    [
      'To do it, with --identity-file=<file> again: landscape-backup rewrap-files --confirm=ab12',
      'To do it, with identity=secret:<id> again: juju run landscape-backup/0 rewrap confirm=ab12',
    ],
    ['landscape-backup restore --in-place', 'juju run landscape-backup/0 restore in-place=true'],
    ['landscape-backup restore --confirm=ab12 goes on', 'juju run landscape-backup/0 restore confirm=ab12 goes on'],
    [
      'landscape-backup restore --to time=2026-11-24T02:59:00Z',
      'juju run landscape-backup/0 restore to=time=2026-11-24T02:59:00Z',
    ],
    [
      'landscape-backup take-over, or landscape-backup take-over --keep-copy',
      'juju run landscape-backup/0 take-over, or juju run landscape-backup/0 take-over keep-copy=true',
    ],
    [
      'landscape-backup run-due takes it off.',
      'juju ssh landscape-backup/0 sudo landscape-backup run-due takes it off.',
    ],
    [
      'Set restart-postgresql to true, or set archive_mode = on yourself',
      'juju config landscape-backup restart-postgresql=true, or set archive_mode = on yourself',
    ],
    ['A newer landscape-backup may have written it', 'A newer landscape-backup may have written it'],
    [
      'landscape-backup remove-old-files --confirm=abc removes them',
      'juju run landscape-backup/0 remove-old confirm=abc removes them',
    ],
    ['Give the identity: --identity-file=<file>.', 'Give the identity: identity=secret:<id>.'],
    ['pg_ctlcluster 15 main start', 'pg_ctlcluster 15 main start'],
  ])('%s', (said, wanted) => {
    expect(inJujuWords(said, to)).toBe(wanted);
  });
});
