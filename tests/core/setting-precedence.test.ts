import { expect, test } from 'vitest';
import type { ClusterSetting } from '../../src/core/backup.ts';
import { librariesIn, settleSettings, whoseSetting } from '../../src/core/setting-precedence.ts';

test.each([
  [
    'raised',
    [
      'max_connections',
      'max_worker_processes',
      'max_wal_senders',
      'max_prepared_transactions',
      'max_locks_per_transaction',
    ],
  ],
  [
    'production',
    [
      'shared_preload_libraries',
      'lc_messages',
      'lc_monetary',
      'lc_numeric',
      'lc_time',
      'TimeZone',
      'pg_stat_statements.track',
    ],
  ],
  [
    'spare',
    ['data_directory', 'hba_file', 'ident_file', 'config_file', 'external_pid_file', 'port', 'listen_addresses'],
  ],
  ['spare', ['unix_socket_directories', 'unix_socket_permissions', 'ssl', 'ssl_cert_file', 'ssl_key_file']],
  [
    'spare',
    ['shared_buffers', 'work_mem', 'maintenance_work_mem', 'effective_cache_size', 'huge_pages', 'max_wal_size'],
  ],
  ['spare', ['log_destination', 'logging_collector', 'log_directory', 'log_line_prefix', 'log_min_duration_statement']],
  ['spare', ['synchronous_standby_names', 'archive_mode', 'archive_command', 'archive_library', 'archive_timeout']],
  [
    'spare',
    ['restore_command', 'recovery_target_time', 'recovery_min_apply_delay', 'primary_conninfo', 'primary_slot_name'],
  ],
  ['shown', ['autovacuum_naptime', 'wal_level', 'statement_timeout', 'fsync', 'synchronous_commit', 'wal_keep_size']],
] as const)('%s wins for %o', (whose, names) => {
  expect(names.map(whoseSetting)).toEqual(names.map(() => whose));
});

function setting(
  name: string,
  value: string,
  unit: string | null = null,
  source = 'configuration file',
): ClusterSetting {
  return { name, setting: value, unit, source };
}

test('what is too low is raised to the highest of backup and WAL, and what is high enough is left alone', () => {
  const production = [setting('max_connections', '200'), setting('max_wal_senders', '10', null, 'default')];

  const { raised } = settleSettings(
    production,
    { max_connections: 500, max_locks_per_transaction: 64 },
    { max_connections: 100, max_wal_senders: 5, max_locks_per_transaction: 128 },
  );

  expect(raised).toEqual({ max_connections: 500, max_wal_senders: 10 });
});

test("production's own values are carried with their units, its memory is not, the rest is shown", () => {
  const production = [
    setting('TimeZone', 'Europe/Vienna'),
    setting('lc_time', 'C', null, 'default'),
    setting('auto_explain.log_min_duration', '250', 'ms'),
    setting('pg_prewarm.size', '4', '8kB'),
    setting('work_mem', '65536', 'kB'),
    setting('archive_command', 'cp %p /original/%f'),
    setting('deadlock_timeout', '2000', 'ms'),
    setting('temp_cost', '-1', 'kB'),
  ];

  expect(settleSettings(production, {}, {})).toEqual({
    raised: {},
    carried: { TimeZone: 'Europe/Vienna', 'auto_explain.log_min_duration': '250ms', 'pg_prewarm.size': '32kB' },
    shown: ['deadlock_timeout = 2000ms', 'temp_cost = -1'],
  });
});

test('a list of libraries may be quoted and spaced', () => {
  expect(librariesIn(' pg_stat_statements, "$libdir/auto_explain" ,')).toEqual([
    'pg_stat_statements',
    '$libdir/auto_explain',
  ]);
});
