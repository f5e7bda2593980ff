import { expect, test } from 'vitest';
import { promotesUnreachedTarget, recoverySettings } from '../../src/core/recovery-settings.ts';
import type { RestoreTarget } from '../../src/core/restore-plan.ts';

const restoreCommand = "'/opt/bin/restore-wal' '/var/lib/unit' '%p' '%f'";
const time: RestoreTarget = { to: 'time', time: new Date('2026-11-24T02:03:04.5Z'), exclusive: true };
const record = { at: 'record', lsn: 0x16_b374_d848n } as const;

test.each(['12', '13', '14', '15', '16', '17', '18'])('%s recovers by a signal file and the command line', (major) => {
  const { files, options } = recoverySettings({ major, target: time, stop: record, timeline: 3, restoreCommand });

  expect(files).toEqual([{ name: 'recovery.signal', contents: '' }]);
  expect(Object.fromEntries(options)).toEqual({
    restore_command: restoreCommand,
    recovery_target_timeline: '3',
    recovery_target_lsn: '16/B374D848',
    recovery_target_inclusive: 'off',
    recovery_target_action: 'promote',
    recovery_end_command: '',
    archive_cleanup_command: '',
    recovery_min_apply_delay: '0',
    primary_conninfo: '',
    primary_slot_name: '',
    hot_standby: 'off',
    archive_mode: 'off',
  });
});

const conf = (lines: readonly string[]) => [
  "restore_command = '''/opt/bin/restore-wal'' ''/var/lib/unit'' ''%p'' ''%f'''",
  "recovery_target_timeline = '3'",
  ...lines,
  "recovery_target_action = 'promote'",
];

test.each([
  ['10', time, ["recovery_target_lsn = '16/B374D848'", "recovery_target_inclusive = 'off'"]],
  ['11', time, ["recovery_target_lsn = '16/B374D848'", "recovery_target_inclusive = 'off'"]],
  ['9.5', time, ["recovery_target_time = '2026-11-24 02:03:04.500+00'", "recovery_target_inclusive = 'off'"]],
  ['9.6', time, ["recovery_target_time = '2026-11-24 02:03:04.500+00'", "recovery_target_inclusive = 'off'"]],
  [
    '9.6',
    { to: 'xid', xid: 734, exclusive: false },
    ["recovery_target_xid = '734'", "recovery_target_inclusive = 'on'"],
  ],
  ['9.6', { to: 'name', name: "it's" }, ["recovery_target_name = 'it''s'"]],
] as const)('%s recovers by recovery.conf: %o', (major, target, lines) => {
  const { files, options } = recoverySettings({ major, target, stop: record, timeline: 3, restoreCommand });

  expect(files).toEqual([{ name: 'recovery.conf', contents: `${conf(lines).join('\n')}\n` }]);
  expect(options).toEqual([
    ['hot_standby', 'off'],
    ['archive_mode', 'off'],
  ]);
});

test('the end has no target and the backup is immediate, in every version', () => {
  for (const major of ['9.5', '9.6', '10', '11']) {
    const text = (at: 'end' | 'backup-end') =>
      recoverySettings({ major, target: { to: 'end' }, stop: { at }, timeline: 3, restoreCommand }).files[0]?.contents;
    expect(text('end')).toBe(`${conf([]).join('\n')}\n`);
    expect(text('backup-end')).toBe(`${conf(["recovery_target = 'immediate'"]).join('\n')}\n`);
  }
  for (const major of ['12', '15', '18']) {
    const names = (at: 'end' | 'backup-end') =>
      recoverySettings({ major, target: { to: 'end' }, stop: { at }, timeline: 3, restoreCommand }).options.map(
        ([name]) => name,
      );
    expect(names('end').filter((name) => /^recovery_target(_lsn|_inclusive)?$/.test(name))).toEqual([]);
    expect(names('backup-end')).toContain('recovery_target');
  }
});

test.each(['9.5', '9.6'])('%s cannot stop at an LSN', (major) => {
  const target = { to: 'lsn', lsn: 5n, exclusive: false } as const;

  expect(() => recoverySettings({ major, target, stop: record, timeline: 1, restoreCommand })).toThrow(
    expect.objectContaining({
      kind: 'refused',
      message: `PostgreSQL ${major} cannot stop at an LSN: it can from 10 on`,
    }),
  );
});

test('until 12 an unreached target promotes all the same', () => {
  expect(['9.5', '9.6', '10', '11', '12'].every(promotesUnreachedTarget)).toBe(true);
  expect(['13', '14', '15', '16', '17', '18'].some(promotesUnreachedTarget)).toBe(false);
});
