import { settingSchema, type ClusterSetting } from '../core/backup.ts';
import type { Connection } from './query.ts';

/** Names whose values hold or may hold a secret; what archives and recovers is never taken over by a restore anyway. */
const secret =
  /^(archive_|restore_command$|recovery_|primary_conninfo$|ssl_passphrase_command$|krb_)|password|passphrase|secret|token|key$/i;

/** What recovery needs to know even where nobody chose it: its floors, and the locales that the databases are sorted by. */
const neededAnyway = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
  'lc_collate',
  'lc_ctype',
];

/** The settings that somebody chose for this cluster as a whole, without those that could hold a secret. */
export async function readSettingsSnapshot(connection: Connection): Promise<readonly ClusterSetting[]> {
  const rows = await connection.ask(
    settingSchema,
    `SELECT name, setting, unit, source FROM pg_settings
     WHERE source IN ('configuration file', 'command line', 'environment variable', 'global') OR name = ANY($1) ORDER BY name COLLATE "C"`,
    [neededAnyway],
  );
  return rows.filter(({ name }) => !secret.test(name));
}
