import type { ClusterSetting } from './backup.ts';
import { highestFloors } from './wal-record.ts';

/**
 * Whose value of a setting a restored cluster gets.
 *
 * - `raised`: this machine's, raised where the WAL needs more: too low stops recovery, or pauses it without end
 * - `production`: the restored data was written under it and means something else without
 * - `spare`: it describes this machine, its size, its network and its place among others
 * - `shown`: this machine's too, but a person should see that production had another
 */
export type Whose = 'raised' | 'production' | 'spare' | 'shown';

const raised: ReadonlySet<string> = new Set([
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
]);

const production: ReadonlySet<string> = new Set([
  'shared_preload_libraries',
  'session_preload_libraries',
  'local_preload_libraries',
  'lc_messages',
  'lc_monetary',
  'lc_numeric',
  'lc_time',
  'TimeZone',
  'timezone_abbreviations',
  'DateStyle',
  'IntervalStyle',
  'default_text_search_config',
]);

/** The settings of production whose value is a locale that this machine must have. */
export const localeSettings = [
  'lc_messages',
  'lc_monetary',
  'lc_numeric',
  'lc_time',
  'lc_collate',
  'lc_ctype',
] as const;

const spare: readonly RegExp[] = [
  // Directories and files.
  /_directory$|_file$|_directories$|^(stats_temp|temp_tablespaces|default_tablespace|dynamic_library_path|extension_control_path|unix_socket_)/,
  // The network and who may come in.
  /^(port|listen_addresses|bonjour|bonjour_name|superuser_reserved_connections|reserved_connections|authentication_timeout|password_encryption)$/,
  /^(ssl|ssl_.*|krb_.*|gss_.*|db_user_namespace|tcp_.*|client_connection_check_interval|oauth_.*)$/,
  // How large this machine is.
  /^(shared_buffers|huge_page.*|work_mem|maintenance_work_mem|autovacuum_work_mem|logical_decoding_work_mem|hash_mem_multiplier|temp_buffers|max_stack_depth)$/,
  /^(shared_memory_.*|dynamic_shared_memory_type|min_dynamic_shared_memory|effective_cache_size|effective_io_concurrency|maintenance_io_concurrency|io_.*)$/,
  /^(wal_buffers|max_wal_size|min_wal_size|temp_file_limit|max_files_per_process|max_parallel_.*|random_page_cost|seq_page_cost|vacuum_buffer_usage_limit)$/,
  // What it tells, and to whom.
  /^(log_.*|logging_collector|syslog_.*|event_source|cluster_name|update_process_title|debug_.*|application_name)$/,
  // Its place among others, and the archive: production's would write into the original.
  /^(synchronous_standby_names|primary_.*|wal_receiver_.*|hot_standby.*|max_standby_.*|wal_retrieve_retry_interval|synchronized_standby_slots|sync_replication_slots)$/,
  /^(archive_.*|restore_command|recovery_.*|promote_trigger_file|trace_recovery_messages)$/,
  // What only pg_settings calls a setting.
  /^(server_.*|data_checksums|data_directory_mode|block_size|wal_block_size|wal_segment_size|segment_size|integer_datetimes|lc_collate|lc_ctype|in_hot_standby|is_superuser|session_authorization|transaction_.*)$/,
];

/** Whose value wins, by the name of the setting as `pg_settings` writes it. */
export function whoseSetting(name: string): Whose {
  if (raised.has(name)) return 'raised';
  // The names of extensions have a dot in them.
  if (production.has(name) || name.includes('.')) return 'production';
  return spare.some((pattern) => pattern.test(name)) ? 'spare' : 'shown';
}

const setByPeople: ReadonlySet<string> = new Set([
  'configuration file',
  'command line',
  'environment variable',
  'global',
]);

/** What the table makes of two clusters' settings. */
export interface SettledSettings {
  /** Values to start this machine's cluster with, where its own are lower. */
  readonly raised: Readonly<Record<string, number>>;
  /** Values of production, as they are written into a configuration file. */
  readonly carried: Readonly<Record<string, string>>;
  /** Values of production that are not taken over, `name = value` each. */
  readonly shown: readonly string[];
}

/**
 * Applies the table: production's settings as its backup keeps them, what the WAL needs up to the stop, and this machine's
 * own values of the settings that may have to be raised.
 */
export function settleSettings(
  productionSettings: readonly ClusterSetting[],
  walFloors: Readonly<Record<string, number>>,
  own: Readonly<Record<string, number>>,
): SettledSettings {
  const atBackup = productionSettings.flatMap(({ name, setting }) =>
    raised.has(name) && /^\d+$/.test(setting) ? [[name, Number(setting)] as const] : [],
  );
  const needed = highestFloors(Object.fromEntries(atBackup), walFloors);
  const chosen = productionSettings.filter(({ source }) => setByPeople.has(source));
  return {
    raised: sorted(Object.entries(needed).filter(([name, value]) => value > (own[name] ?? 0))),
    carried: sorted(
      chosen.filter(({ name }) => whoseSetting(name) === 'production').map((each) => [each.name, inFile(each)]),
    ),
    shown: chosen
      .filter(({ name }) => whoseSetting(name) === 'shown')
      .map((each) => `${each.name} = ${inFile(each)}`)
      .sort(),
  };
}

function sorted<T>(entries: readonly (readonly [string, T])[]): Readonly<Record<string, T>> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A value with its unit: `pg_settings` counts in units of `8kB`, which no configuration file may say. */
function inFile({ setting, unit }: ClusterSetting): string {
  const [, count, name] = /^(\d*)([A-Za-z]+)$/.exec(unit ?? '') ?? [];
  // A negative number means "off" or "default" and has no unit.
  if (name === undefined || !/^\d+(\.\d+)?$/.test(setting)) return setting;
  return `${Number(setting) * Number(count === '' ? 1 : count)}${name}`;
}

/** The libraries that a list such as `shared_preload_libraries` names. */
export function librariesIn(list: string): readonly string[] {
  return list
    .split(',')
    .map((name) => name.trim().replace(/^"(.*)"$/, '$1'))
    .filter((name) => name !== '');
}
