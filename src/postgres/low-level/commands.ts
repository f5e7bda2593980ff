/** How a server of some version speaks of a base backup by the low-level API. */
export interface LowLevelCommands {
  /** Answers `systemid` and `timeline`. */
  readonly identify: string;
  /** Holds WAL back for as long as the session lives; takes the slot's name. Temporary slots are of 10 and later. */
  readonly reserveWal: string | undefined;
  /** What keeps an administrator's time limits from ending the session while files are read. */
  readonly prepare: readonly string[];
  /** Takes the label; answers `lsn`. */
  readonly start: string;
  /** Takes an LSN as text; answers `timeline`, that of the WAL that is being written. */
  readonly timeline: string;
  /** Answers `lsn`, and `label` and `map` byte for byte, whatever the database's encoding. */
  readonly stop: string;
  readonly hasManifest: boolean;
  /** The second format of the manifest names the cluster. */
  readonly manifestVersion: 1 | 2;
  /** The directory with the WAL, and those below it that are there even when they are empty. */
  readonly walDirectories: readonly [string, ...string[]];
}

const oldest = 90_600;
const newNames = 100_000;
const renamed = 150_000;

/**
 * The SQL of the low-level backup API for a server of this version (`server_version_num`); `undefined` before 9.6, where a
 * backup that outlives its session is the only kind.
 *
 * The backup is non-exclusive: it ends with its session. The server is told not to wait for WAL to be archived, that wait is
 * ours and bounded; 9.6 can't be told. Source: continuous-archiving.html and functions-admin.html of 9.6 to 18.
 */
export function lowLevelCommands(versionNumber: number): LowLevelCommands | undefined {
  if (versionNumber < oldest) return undefined;
  const isNew = versionNumber >= renamed;
  const wal = versionNumber >= newNames ? 'wal' : 'xlog';
  const position = versionNumber >= newNames ? 'lsn' : 'location';
  const fileTimeline = (lsn: string) => `('x' || substr(pg_${wal}file_name(${lsn}), 1, 8))::bit(32)::int`;
  const bytes = (column: string) => `convert_to(coalesce(${column}, ''), getdatabaseencoding())`;
  return {
    identify:
      'SELECT system_identifier::text AS systemid, CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM ' +
      `pg_control_checkpoint()) ELSE ${fileTimeline(`pg_current_${wal}_${position}()`)} END AS timeline FROM pg_control_system()`,
    reserveWal:
      versionNumber >= newNames
        ? 'SELECT slot_name::text FROM pg_create_physical_replication_slot($1, true, true)'
        : undefined,
    prepare: ['SET statement_timeout = 0', ...(versionNumber >= 140_000 ? ['SET idle_session_timeout = 0'] : [])],
    start: isNew
      ? 'SELECT pg_backup_start(label => $1, fast => true)::text AS lsn'
      : 'SELECT pg_start_backup($1, true, false)::text AS lsn',
    timeline: `SELECT ${fileTimeline('$1')} AS timeline`,
    stop: `SELECT lsn::text AS lsn, ${bytes('labelfile')} AS label, ${bytes('spcmapfile')} AS map FROM ${stopCall(versionNumber)}`,
    hasManifest: versionNumber >= 130_000,
    manifestVersion: versionNumber >= 170_000 ? 2 : 1,
    walDirectories: [
      `pg_${wal}`,
      `pg_${wal}/archive_status`,
      ...(versionNumber >= 170_000 ? [`pg_${wal}/summaries`] : []),
    ],
  };
}

function stopCall(versionNumber: number): string {
  if (versionNumber >= renamed) return 'pg_backup_stop(wait_for_archive => false)';
  return versionNumber >= newNames ? 'pg_stop_backup(false, false)' : 'pg_stop_backup(false)';
}
